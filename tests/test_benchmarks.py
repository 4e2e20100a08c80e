"""That the benchmarks run; what they measure is no test's business, on a machine that is shared."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ALONE = [
    "async_c2b_vs_httpx",
    "bearer_cached",
    "bearer_cold_vs_cryptography",
    "c2b_vs_reconnecting_client",
    "c2b_vs_requests_session",
    "import_core",
    "threads",
]
WITH_POSTGRESQL = [
    "admin_list_scaling",
    "callback_vs_bare_view",
    "in_flight",
    "page_while_prompts",
    "reconcile_scaling",
    "recorded_c2b_vs_plain_insert",
]


def run(*names: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "benchmarks", "--smoke", *names]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], timeout=100
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_benchmarks_run() -> None:
    check(ALONE)


@pytest.mark.service
def test_benchmarks_with_databases_run() -> None:
    try:
        socket.create_connection(("127.0.0.1", 5432), timeout=5).close()
    except OSError:
        if os.environ.get("CI"):
            raise
        pytest.skip("PostgreSQL does not listen on port 5432")
    check(WITH_POSTGRESQL)


def test_a_benchmark_that_fails_is_a_failure_of_make_bench(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nif [ "$2" = benchmarks ]; then echo "{}"; exit 3; fi\n')
    python.chmod(0o755)
    makefile = Path(__file__).parents[1] / "Makefile"
    done = subprocess.run(
        ["make", "--file", str(makefile), f"BIN={tmp_path}", "--assume-old=.venv/.dev", "bench"],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Error 3" in done.stderr


def check(names: list[str]) -> None:
    """All in one process, whose start is most of what a smoke run takes."""
    results = run(*names)
    assert {str(result["name"]).partition(".")[0] for result in results} == set(names)
    for result in results:
        assert {"ratio", "a_ms", "b_ms"} <= result.keys()


def test_results_are_drawn(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text(
        '{"name": "threads.1", "ratio": 0.9, "a_ms": 1, "b_ms": 1.1, "target": 1.1, "threads": 1,'
        ' "payments_per_second": 18}\n'
        '{"name": "a", "ratio": 1.4, "a_ms": 1.4, "b_ms": 1, "target": null}\n'
    )
    command = [sys.executable, "-m", "benchmarks.charts", str(results), str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], timeout=100)
    assert "threads.1" in (tmp_path / "ratios.svg").read_text()
