"""`make demo`, as its target runs it: purchases, then the sites stay open until told to stop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from example_sites.browser import Browser
from example_sites.https_server import CA_FILE
from mpesa_integrations.simulator import Simulator

ROOT = Path(__file__).parents[2]


@contextmanager
def demo(directory: Path, simulator: Simulator) -> Iterator[subprocess.Popen[str]]:
    for state in (
        ".demo",
        *(f".demo/{name}_shop/gateway" for name in ("django", "flask", "fastapi")),
    ):
        # With keys that were made before: new ones take seconds.
        shutil.copytree(simulator.state_dir, directory / state)
    with subprocess.Popen(
        [sys.executable, "-m", "example_sites.demo"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


def read_until(demo: subprocess.Popen[str], text: str) -> str:
    assert demo.stdout is not None
    shown = ""
    for line in demo.stdout:
        shown += line
        if text in line:
            break
    return shown


def test_the_demo_buys_and_stays_open_until_ctrl_c(
    tmp_path: Path, mpesa_simulator: Simulator
) -> None:
    with demo(tmp_path, mpesa_simulator) as started:
        shown = read_until(started, "docs/simulator.md")
        # One table: what, where, and how to sign in.
        table = [line.split() for line in shown.splitlines() if "https://127.0.0.1" in line]
        table = [[word for word in row if word != "│"] for row in table[-8:]]
        url, _admin, portal, cafe, _owner, _portal, boats, _boats_portal = (
            next(word for word in row if word.startswith("https")).rstrip("/") for row in table
        )
        assert "/portal" in portal
        password = table[1][-1]
        with Browser(cafe, tmp_path / ".demo/flask_shop/data" / CA_FILE) as browser:
            assert browser.get("/").form("galao")
            login = browser.get("/admin/")
            form = login.form("password")
            refused = browser.submit(login, form, password="x")
            assert "That is not the password" in refused.text
            payments = browser.submit(refused, refused.form("password"), password=table[4][-1])
            assert "CAFE 1" in payments.text
        with Browser(url, tmp_path / ".demo/django_shop/data" / CA_FILE) as browser:
            login = browser.get("/admin/")
            form = login.form("username", "password")
            orders = browser.submit(login, form, username="admin", password=password)
            assert orders.status == 200
        with Browser(boats, tmp_path / ".demo/fastapi_shop/data" / CA_FILE) as browser:
            assert browser.get("/").form("seats")
        # A browser that does not trust the certificates yet.
        for address in (url, cafe, boats, portal):
            with pytest.raises(requests.exceptions.SSLError):
                requests.get(address, timeout=10)
        # As a terminal does: every process of the demo gets the signal.
        os.killpg(started.pid, signal.SIGINT)
        after = read_until(started, "\0")
        assert started.wait(30) == 0, after
        assert not [line for line in after.splitlines() if "handshake" in line.lower()]
    assert "ORDER 1 is paid, and is being packed" in shown
    assert shown.count("working for default") == after.count("ending, since SIGTERM came") == 3
    assert "CAFE 1 is paid, and is in the kitchen" in shown
    assert "BOAT 1 is paid, and has its tickets" in shown
    assert shown.count("All wallets together: 0.00 MZN") >= 3
    assert "258841234567" not in shown
    assert "Traceback" not in shown + after


def test_the_demo_is_ended_in_the_middle_of_a_purchase(
    tmp_path: Path, mpesa_simulator: Simulator
) -> None:
    with demo(tmp_path, mpesa_simulator) as started:
        shown = read_until(started, "and came to https")
        started.send_signal(signal.SIGTERM)
        shown += read_until(started, "\0")
        assert started.wait(30) == 128 + signal.SIGTERM, shown
    assert "Traceback" not in shown
    port = int(re.findall(r"https://127.0.0.1:([0-9]+)/orders/", shown)[0])
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
