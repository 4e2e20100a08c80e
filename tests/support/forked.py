"""`python forked.py MODULES FILE…`: runs programs in Python here, each in a process of its own.

What they import is imported once, so that each costs what it does and no more. MODULES has commas.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import traceback
from pathlib import Path


def main(modules: str, *paths: str) -> int:
    """Run them, one after another; what `a.py` prints goes to `a.out`."""
    for module in modules.split(","):
        importlib.import_module(module)
    failed = 0
    for path in map(Path, paths):
        child = os.fork()
        if not child:
            os._exit(_run(path))
        failed |= os.waitpid(child, 0)[1]
    return int(failed != 0)


def _run(path: Path) -> int:
    output = os.open(path.with_suffix(".out"), os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    try:
        runpy.run_path(str(path), run_name="__main__")
    except BaseException:  # noqa: BLE001 - SystemExit, too, is a sample that failed
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
