"""When a call is sent again, how long it waits, and what it comes to; without a byte sent."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mpesa_integrations import (
    GatewayUnavailable,
    HttpResponse,
    Kind,
    MpesaError,
    NoAnswer,
    NotConnected,
    OutcomeUnknown,
)
from mpesa_integrations.core.markets.mozambique.operations import C2B, QUERY_TRANSACTION_STATUS
from mpesa_integrations.core.protocol.exchange import Exchange, longest_pauses
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.core.protocol.requests import http_request

from .conftest import make_config


def _exchange(operation: Operation = C2B, **settings: Any) -> Exchange:
    config = make_config(**settings)
    request = http_request(operation, {}, config, bearer="token")
    return Exchange(operation, config, request=request, reference="REF1")


def _answer(status: int, code: str, **fields: str) -> HttpResponse:
    return HttpResponse(status, json.dumps({"output_ResponseCode": code, **fields}).encode())


BUSY = _answer(503, "INS-16")
PAID = _answer(201, "INS-0", output_TransactionID="4XDF12345")
DUPLICATE = _answer(409, "INS-10")
REFUSED = NotConnected("the connection was refused")


def test_a_busy_gateway_is_asked_again_at_once_and_then_after_growing_pauses() -> None:
    exchange = _exchange(retries=4)
    pauses = [exchange.pause]
    for _ in range(4):
        exchange.receive(BUSY, 0.1)
        assert not exchange.finished
        pauses.append(exchange.pause)
    assert pauses[:2] == [0, 0]
    for pause, least in zip(pauses[2:], (0.5, 1, 2), strict=True):
        assert least <= pause <= least + 0.25
    assert sum(pauses) <= longest_pauses(4)
    exchange.receive(PAID, 2.5)
    assert exchange.finished
    result = exchange.result()
    assert (result.kind, result.elapsed) == (Kind.SUCCESS, 2.5)


def test_nothing_is_sent_again_after_the_time_within_which_it_may_be() -> None:
    exchange = _exchange(retries=10)
    left = iter([1.0, 0.1])
    exchange.request = replace(exchange.request, time_left=lambda: next(left))
    exchange.receive(REFUSED, 4.0)
    assert not exchange.finished
    exchange.receive(REFUSED, 4.9)  # the pause would end too late
    assert exchange.finished
    with pytest.raises(GatewayUnavailable):
        exchange.result()


def test_no_pause_is_longer_than_two_minutes() -> None:
    exchange = _exchange(retries=10)
    for _ in range(10):
        exchange.receive(BUSY, 0.1)
    assert 120 <= exchange.pause <= 120.25


@pytest.mark.parametrize(
    ("operation", "answers", "error", "words"),
    [
        (C2B, [NoAnswer("no answer")], OutcomeUnknown, "do not send it again"),
        (C2B, [HttpResponse(504, b"<html>")], OutcomeUnknown, "HTTP 504"),
        (C2B, [_answer(500, "INS-1")], OutcomeUnknown, "INS-1"),
        (C2B, [NotConnected("x", retryable=False)], GatewayUnavailable, "Nothing was sent: x"),
        (C2B, [REFUSED, REFUSED, REFUSED], GatewayUnavailable, "was refused"),
        (C2B, [BUSY, NoAnswer("no answer")], OutcomeUnknown, "do not send it again"),
        (C2B, [BUSY, DUPLICATE], OutcomeUnknown, "may have got in"),
        (QUERY_TRANSACTION_STATUS, [NoAnswer("gone")], GatewayUnavailable, "may be asked again"),
    ],
)
def test_only_what_surely_was_not_accepted_is_sent_again(
    operation: Operation, answers: list[Any], error: type[MpesaError], words: str
) -> None:
    exchange = _exchange(operation, retries=2)
    for answer in answers:
        assert not exchange.finished
        exchange.receive(answer, 0.1)
    assert exchange.finished
    with pytest.raises(error, match=words) as caught:
        exchange.result()
    assert caught.value.third_party_reference == "REF1"
    if isinstance(answers[-1], Exception):
        assert caught.value.__cause__ is answers[-1]
