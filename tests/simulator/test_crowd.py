"""How many calls the gateway holds at a time: each waits for its customer, and is then answered.

Each caller costs both sides a TLS handshake, so there are fewer where nobody asks for more.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter
from tests.support.crowd import crowd
from tests.support.raw import MSISDN, RawClient

COUNT = int(os.environ.get("MPESA_TEST_CROWD", "1000"))
_OPEN_FILES = COUNT + 1_000


@pytest.fixture
def many_connections() -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="only Unix limits open files by process")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _OPEN_FILES:
        pytest.skip(f"a process may have {hard} files open here, and {_OPEN_FILES} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _OPEN_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _kilobytes() -> int:
    """The memory that this process has, in KiB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def _wait_for_prompts(simulator: Simulator, count: int) -> None:
    deadline = time.monotonic() + 100
    while len(simulator.phones.waiting) < count:
        assert time.monotonic() < deadline, f"{len(simulator.phones.waiting)} prompts wait"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("many_connections")
def test_thousands_of_calls_wait_for_their_customers_at_a_time(
    mpesa_simulator: Simulator, raw: RawClient
) -> None:
    mpesa_simulator.auto_approve = False
    mpesa_simulator.phones.pin_timeout = 300
    gc.collect()
    before, started = _kilobytes(), time.monotonic()
    with crowd(raw, COUNT) as process:
        assert process.stdout is not None
        _wait_for_prompts(mpesa_simulator, COUNT)
        seconds = time.monotonic() - started
        each = (_kilobytes() - before) / COUNT
        print(f"{COUNT} calls wait after {seconds:.1f} s, {each:.0f} KiB each")
        assert process.stdout.readline() == "sent\n"
        # Others are served meanwhile.
        assert raw.code("query_customer_name") == "INS-0"
        assert raw.session.get(mpesa_simulator.portal_url, timeout=10).status_code == 200
        for prompt in mpesa_simulator.phones.waiting:
            mpesa_simulator.phones.approve(prompt.transaction.conversation_id)
        assert json.loads(process.stdout.read()) == {"INS-0": COUNT}
    print(f"and all are answered after {time.monotonic() - started:.1f} s")
    statuses = [entry.status for entry in mpesa_simulator.ledger.transactions()]
    assert statuses == ["Completed"] * COUNT
    assert mpesa_simulator.ledger.balance(MSISDN) == 100_000 - COUNT
    assert mpesa_simulator.ledger.total() == 0
    assert mpesa_simulator.calls.count(CallFilter(operation="c2b")) == COUNT
    assert each < 400  # KiB; half of it are the buffers of asyncio's TLS
