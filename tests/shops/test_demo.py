"""`make demo`, as its target runs it: purchases, then the sites stay open until told to stop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from example_sites.browser import Browser
from example_sites.https_server import CA_FILE
from mpesa_integrations.simulator import Simulator

ROOT = Path(__file__).parents[2]


def end_alone(demo: subprocess.Popen[str]) -> None:
    demo.send_signal(signal.SIGTERM)


def press_ctrl_c(demo: subprocess.Popen[str]) -> None:
    """As a terminal does: every process of the demo gets the signal."""
    os.killpg(demo.pid, signal.SIGINT)


@pytest.mark.parametrize("end", [end_alone, press_ctrl_c])
def test_the_demo_buys_and_stays_open_until_told_to_stop(
    tmp_path: Path, mpesa_simulator: Simulator, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    for directory in (".demo", ".demo/django_shop/gateway", ".demo/flask_shop/gateway"):
        # With keys that were made before: new ones take seconds.
        shutil.copytree(mpesa_simulator.state_dir, tmp_path / directory)
    with subprocess.Popen(
        [sys.executable, "-m", "example_sites.demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        assert demo.stdout is not None
        shown = ""
        try:
            for line in demo.stdout:
                shown += line
                if "docs/simulator.md" in line:
                    break
            url, cafe = re.findall(r"^Shop +(\S+)", shown, re.MULTILINE)
            password = re.findall(r"user admin, password (\S+)\)", shown)[0]
            with Browser(cafe, tmp_path / ".demo/flask_shop/data" / CA_FILE) as browser:
                assert browser.get("/").form("galao")
            with Browser(url, tmp_path / ".demo/django_shop/data" / CA_FILE) as browser:
                login = browser.get("/admin/")
                form = login.form("username", "password")
                orders = browser.submit(login, form, username="admin", password=password)
                assert orders.status == 200
        finally:
            end(demo)
            shown += demo.stdout.read()
        assert demo.wait(30) == 0, shown
    assert "is completed, so ORDER 1 is paid" in shown
    assert "is completed, so CAFE 1 is paid" in shown
    assert "All wallets together: 0.00 MZN" in shown
    assert "258841234567" not in shown
    assert "Traceback" not in shown
