"""A request whose time is over before a byte of it has left is not sent, however late it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from mpesa_integrations import GatewayUnavailable, MpesaClient, OutcomeUnknown
from mpesa_integrations.core.payments import schedule
from mpesa_integrations.core.protocol.http import TooLate

from .conftest import MakeClient
from .faulty import AUTHORITY, answer, faulty_server, paid_answer, then

BUSY = answer(json.dumps({"output_ResponseCode": "INS-16"}).encode(), status="503 Busy")


def _send(client: MpesaClient, *left: float) -> Any:
    """Send a payment, of whose time so much is left each time that it is asked for."""
    prepared = client.prepare("c2b", msisdn="841234567", amount=1, reference="T")
    times: Iterator[float] = iter(left)
    return client.send(replace(prepared, time_left=lambda: next(times)))


@pytest.mark.parametrize("left", [(0.0,), (5.0, 0.0)], ids=["before connecting", "after it"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_what_is_late_is_not_sent_nor_tried_again(
    connect: MakeClient, tmp_path: Any, tls: bool, left: tuple[float, ...]
) -> None:
    certificate = AUTHORITY.issue_cert("127.0.0.1") if tls else None
    trusted = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(trusted))
    secure = {"ssl": True, "verify": str(trusted)} if tls else {}
    with (
        faulty_server(then(paid_answer(1), paid_answer(2)), certificate=certificate) as server,
        connect(server.port, **secure) as client,
    ):
        with pytest.raises(GatewayUnavailable, match="Nothing was sent: its time was over") as late:
            _send(client, *left)
        assert isinstance(late.value.__cause__, TooLate)
        assert not isinstance(late.value, OutcomeUnknown)
        assert server.requests == []
        assert _send(client, 5.0, 5.0).transaction_id, "the next is sent"
        assert len(server.requests) == 1


def test_what_is_late_on_a_connection_that_was_kept_is_not_sent(connect: MakeClient) -> None:
    answers = [paid_answer(number) for number in (1, 2)]
    with faulty_server(then(*answers)) as server, connect(server.port) as client:
        _send(client, 5.0, 5.0)
        with pytest.raises(GatewayUnavailable, match="its time was over"):
            _send(client, 5.0, 0.0)
        assert len(server.requests) == 1
        assert _send(client, 5.0, 5.0).transaction_id
        assert len(server.requests) == 2


def test_once_a_byte_has_left_nothing_is_late(connect: MakeClient) -> None:
    with faulty_server(then(paid_answer(1))) as server, connect(server.port) as client:
        assert _send(client, 5.0, 5.0).transaction_id, "it is not asked for again"


def test_an_attempt_that_is_too_late_says_nothing_of_the_one_before(connect: MakeClient) -> None:
    with faulty_server(then(BUSY, BUSY)) as server, connect(server.port) as client:
        with pytest.raises(GatewayUnavailable) as caught:
            _send(client, 5.0, 5.0, 5.0, 0.0)
        assert len(server.requests) == 1
        assert caught.value.result is not None
        assert caught.value.result.code == "INS-16"


@pytest.mark.parametrize(("set_on", "ran"), [(0, 31), (31, 0)], ids=["set back", "slept"])
def test_a_time_is_over_by_the_clock_that_is_ahead(
    monkeypatch: pytest.MonkeyPatch, set_on: int, ran: int
) -> None:
    began = datetime.now(timezone.utc)
    monkeypatch.setattr(schedule, "utc_now", lambda: began)
    monkeypatch.setattr(schedule, "monotonic", lambda: 1000.0)
    left = schedule.time_left(timedelta(seconds=30))
    assert left() == 30
    monkeypatch.setattr(schedule, "utc_now", lambda: began + timedelta(seconds=set_on))
    monkeypatch.setattr(schedule, "monotonic", lambda: 1000.0 + ran)
    assert left() == -1
