"""`python -m benchmarks [name …]`: runs them, and prints a line of JSON per result."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil

import benchmarks

_NOT_BENCHMARKS = {"__main__", "by_hand", "charts", "gateway", "measure"}


def main() -> None:
    """Run the named benchmarks, or all."""
    names = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in _NOT_BENCHMARKS
    ]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(names))
    parser.add_argument("--smoke", action="store_true", help="few rounds and rows: does it run?")
    arguments = parser.parse_args()
    for name in arguments.names or names:
        if name not in names:
            parser.error(f"no benchmark {name}; there are {', '.join(names)}")
        module = importlib.import_module(f"benchmarks.{name}")
        for result in module.run(smoke=arguments.smoke):
            print(json.dumps(result.as_json()), flush=True)


if __name__ == "__main__":
    main()
