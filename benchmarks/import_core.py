"""Importing the library against importing only what it needs, in a new process each time.

`import mpesa_integrations` against its three dependencies; for the frameworks' packages those and
the framework. Python's own start is left out, and so is compiling: what is installed has its
bytecode. ratio = ours / the dependencies.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from .measure import Result

TARGET = 1.15
_CORE = (
    "import requests, marshmallow;"
    "from cryptography.hazmat.primitives.asymmetric import padding, rsa;"
    "from cryptography.hazmat.primitives.serialization import load_der_public_key;"
)
_CASES = {
    "import_core": ("import mpesa_integrations", _CORE),
    "import_core.flask": ("import flask_mpesa", _CORE + "import flask"),
    "import_core.django": ("import django_mpesa", _CORE + "import django.conf"),
}
_KEEPING_BYTECODE = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
_TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare the packages one after the other."""
    for name, (ours, needed) in _CASES.items():
        a, b = [], []
        for _ in range(1 if smoke else 40):
            a.append(_import_ms(ours))
            b.append(_import_ms(needed))
        yield Result(name=name, a_ms=statistics.median(a), b_ms=statistics.median(b), target=TARGET)


def _import_ms(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement.rstrip(";"))]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=_KEEPING_BYTECODE
    )
    return 1000 * float(done.stdout)
