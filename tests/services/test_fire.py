"""A small cut of `make fire`: the same run, with fewer payments."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest

pytestmark = pytest.mark.service


@pytest.mark.timeout(300)
def test_a_small_fire_leaves_no_difference() -> None:
    try:
        psycopg.connect(host="127.0.0.1", user="postgres", dbname="postgres").close()
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL at 127.0.0.1: {error}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fire", "--payments", "120", "--seed", "7"],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "0 differences" in done.stdout
