"""`python -m benchmarks [name …]`: runs them, and prints a line of JSON per result."""

from __future__ import annotations

import argparse
import importlib
import json

NAMES = (
    "c2b_vs_requests_session",
    "c2b_vs_reconnecting_client",
    "async_c2b_vs_httpx",
    "in_flight",
    "bearer_cached",
    "bearer_cold_vs_cryptography",
    "import_core",
    "threads",
    "recorded_c2b_vs_plain_insert",
    "callback_vs_bare_view",
    "page_while_prompts",
    "reconcile_scaling",
    "admin_list_scaling",
)


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--smoke", action="store_true", help="few rounds and rows: does it run?")
    arguments = parser.parse_args()
    for name in arguments.names or NAMES:
        if name not in NAMES:
            parser.error(f"no benchmark {name}; there are {', '.join(NAMES)}")
        module = importlib.import_module(f"benchmarks.{name}")
        for result in module.run(smoke=arguments.smoke):
            print(json.dumps(result.as_json()), flush=True)


if __name__ == "__main__":
    main()
