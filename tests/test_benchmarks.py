"""That the benchmarks run; what they measure is no test's business, on a machine that is shared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = [
    "bearer_cached",
    "bearer_cold_vs_cryptography",
    "c2b_vs_reconnecting_client",
    "c2b_vs_requests_session",
    "import_core",
    "threads",
]


def run(*names: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "benchmarks", "--smoke", *names]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], timeout=100
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs(name: str) -> None:
    results = run(name)
    assert results
    for result in results:
        assert str(result["name"]).startswith(name)
        assert {"ratio", "a_ms", "b_ms"} <= result.keys()
