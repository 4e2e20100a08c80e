"""The callback endpoint without a framework: who is let in, what is read, what is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mpesa_integrations.core.payments.endpoint import (
    CallbackAnswer,
    CallbackRequest,
    answer_callback,
)
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.protocol.callbacks import MAX_BODY
from mpesa_integrations.core.settings.account import AccountSettings

from .conftest import make_config

BODY = b'{"input_ResultCode": "0"}'
REQUEST = CallbackRequest(
    token="right", content_type="application/json", content_length=None,
    remote_address="127.0.0.1", forwarded_for="", read=lambda limit: BODY[:limit],
)  # fmt: skip
AGAIN = {"output_ResponseDesc": "Not taken in, send it again"}


class Shop(dict[str, Any]):
    """Two accounts, of which one has the token `right` and the other `broken` and no settings."""

    def __init__(self, **settings: Any) -> None:
        self.taken: list[tuple[bytes, dict[str, Any]]] = []
        self.fails = False
        super().__init__(
            default=SimpleNamespace(
                settings=AccountSettings(config=make_config(), **settings), receive=self._receive
            )
        )

    def accepting(self, token: str) -> list[str]:
        found = {"right": ["default"], "broken": ["broken"], "shared": ["default", "broken"]}
        return found.get(token, [])

    def _receive(self, body: bytes, **how: Any) -> tuple[int, dict[str, str]]:
        if self.fails:
            raise RuntimeError("the database is away")
        self.taken.append((body, how))
        return 299, {"said": "so"}

    def answer(self, **changes: Any) -> CallbackAnswer:
        return answer_callback(cast("Accounts[Any, Any]", self), replace(REQUEST, **changes))


@pytest.mark.parametrize(
    ("how", "inline", "waiting_in"), [("inline", True, None), ("worker", False, "default")]
)
def test_a_callback_is_handed_on_whole_and_answered_as_the_account_says(
    how: Any, inline: bool, waiting_in: str | None
) -> None:
    shop = Shop(apply_callbacks=how)
    assert shop.answer() == CallbackAnswer(299, {"said": "so"}, waiting_in)
    assert shop.taken == [(BODY, {"apply": inline, "remote_address": "127.0.0.1"})]


def test_a_wrong_token_is_answered_as_if_there_were_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop()
    assert shop.answer(token="wrong") == CallbackAnswer(404)
    assert shop.taken == []
    assert "callback." not in caplog.text


def test_an_account_that_is_broken_has_the_gateway_send_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Shop().answer(token="broken") == CallbackAnswer(500, AGAIN)
    assert "callback.account_broken" in caplog.text
    assert "account=broken" in caplog.text
    assert "KeyError" in caplog.text


def test_what_cannot_be_taken_in_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    shop.fails = True
    assert shop.answer() == CallbackAnswer(500, AGAIN)
    assert "callback.not_taken_in" in caplog.text
    assert "account=default" in caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 299),
        (" Application/JSON ; charset=utf-8", 299),
        ("application/json;", 299),
        ("text/json", 415),
        ("charset=utf-8; application/json", 415),
        ("", 415),
    ],
)
def test_only_json_is_read(content_type: str, status: int) -> None:
    answer = Shop().answer(content_type=content_type)
    assert answer.status == status
    if status == 415:
        assert answer == CallbackAnswer(415, {"output_ResponseDesc": "Send application/json"})


def _of(size: int) -> Callable[[int], bytes]:
    return lambda limit: b"x" * min(size, limit)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"read": _of(MAX_BODY)}, True),
        ({"read": _of(MAX_BODY + 1)}, False),
        ({"content_length": str(MAX_BODY)}, True),
        ({"content_length": str(MAX_BODY + 1)}, False),
        ({"content_length": ""}, True),
        ({"content_length": "0"}, True),
        ({"content_length": "many"}, False),
        ({"content_length": "1e3"}, False),
    ],
)
def test_a_body_may_be_so_large_and_no_larger(changes: dict[str, Any], fits: bool) -> None:
    shop = Shop()
    answer = shop.answer(**changes)
    if fits:
        assert answer.status == 299
        assert [body for body, _ in shop.taken] == [changes.get("read", REQUEST.read)(MAX_BODY)]
    else:
        assert answer == CallbackAnswer(413, {"output_ResponseDesc": "The body is too large"})
        assert shop.taken == []


def test_no_more_of_a_body_is_read_than_tells_that_it_is_too_large() -> None:
    limits: list[int] = []

    def read(limit: int) -> bytes:
        limits.append(limit)
        return b"x" * limit

    assert Shop().answer(read=read).status == 413
    assert Shop().answer(read=read, content_length="99999").status == 413
    assert limits == [MAX_BODY + 1]


def test_of_several_accounts_the_first_refuses_what_names_no_payment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits: list[int] = []

    def read(limit: int) -> bytes:
        limits.append(limit)
        return b"x" * limit

    shop = Shop()
    assert shop.answer(token="shared", read=read).status == 413
    assert "callback.refused account=default status=413" in caplog.text
    assert shop.answer(token="shared", read=read, content_type="text/plain").status == 415
    assert limits == [MAX_BODY + 1]
    assert shop.taken == []


def test_a_body_that_broke_off_is_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    def read(limit: int) -> bytes:
        raise ConnectionResetError("gone")

    shop = Shop()
    problem = {"output_ResponseDesc": "The body did not arrive whole"}
    assert shop.answer(read=read) == CallbackAnswer(400, problem)
    assert "the body broke off (ConnectionResetError)" in caplog.text
    assert shop.taken == []


def test_a_refusal_says_who_was_refused_of_whom_and_why(caplog: pytest.LogCaptureFixture) -> None:
    Shop().answer(content_type="text/plain")
    (record,) = [found for found in caplog.records if found.levelno == logging.WARNING]
    assert record.getMessage() == (
        "callback.refused account=default status=415 address=127.0.0.1 "
        "problem=the content type is not application/json"
    )
