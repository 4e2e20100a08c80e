"""What a stranger, or a broken gateway, may post to the callback endpoint; over every store."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import post_callback

from .backends import Backend
from .conftest import Heard
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]

_FIELDS = (
    "input_OriginalConversationID", "input_ThirdPartyReference", "input_TransactionID",
    "input_ResultCode", "input_ResultDesc",
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.one_of(
    st.binary(max_size=300),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({name: _JSON | st.text(max_size=300) for name in _FIELDS}).map(
        lambda value: json.dumps(value).encode()
    ),
)


def _answer(payments: Payments[Any, Any], body: bytes, token: str = TOKEN, **changes: Any) -> int:
    accounts: Accounts[Any, Any] = Accounts(lambda: {"default": {}}, lambda *_: payments)
    accounts._built["default"] = payments
    return post_callback(accounts, body, token, **changes)


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("text", ["A\\u0000B", "\\ud800", "\\uDFFFx"])
def test_characters_that_no_database_keeps_are_unreadable(
    pending: Any, payments: Payments[Any, Any], backend: Backend, field: str, text: str
) -> None:
    body = callback(pending, **{field: "PLACE"}).replace(b"PLACE", text.encode())
    assert _answer(payments, body) == 400
    assert backend.verdicts() == ["unreadable"]
    assert backend.records()[0].state == "pending"


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(body=_BODIES)
def test_no_body_breaks_the_endpoint_or_moves_a_payment(
    pending: Any, payments: Payments[Any, Any], backend: Backend, body: bytes
) -> None:
    assert _answer(payments, body) in (200, 400, 413)
    assert backend.records()[0].state == "pending"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"input_ResultCode": "0" * 60_000}, 200),
        ({"input_TransactionID": "X" * 60_000}, 200),
        ({"input_ResultDesc": "x" * 60_000}, 200),
        ({"input_ResultDesc": "x" * 70_000}, 413),
    ],
)
def test_long_fields_are_cut_to_their_columns(
    pending: Any, payments: Payments[Any, Any], backend: Backend, changes: dict[str, str],
    status: int,
) -> None:  # fmt: skip
    assert _answer(payments, callback(pending, **changes)) == status


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 20_000,
        b"[" * 65_000,
        b"\xff\xfe{}",
        '{"input_ResultDesc": "ação"}'.encode("latin-1"),
        b'{"input_ResultCode": NaN}',
        b'{"input_ResultCode": ' + b"9" * 60_000 + b"}",
    ],
    ids=["deep-objects", "deep-lists", "utf-16", "latin-1", "nan", "huge-number"],
)
def test_bombs_are_refused(payments: Payments[Any, Any], backend: Backend, body: bytes) -> None:
    assert _answer(payments, body) in (400, 413)
    assert set(backend.verdicts()) <= {"unreadable"}


def test_a_field_named_twice_with_two_values_is_refused(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    body = callback(pending, "INS-6")[:-1] + b', "input_ResultCode": "0"}'
    assert _answer(payments, body) == 400
    assert backend.records()[0].state == "pending"


def test_a_length_that_lies_reads_no_more_than_a_callback_may_have(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    asked: list[int] = []

    def read(limit: int) -> bytes:
        asked.append(limit)
        return b"x" * limit

    assert _answer(payments, b"", content_length="10", read=read) == 413
    assert _answer(payments, b"", content_length=None, read=read) == 413
    assert _answer(payments, b"", content_length="-5 or so", read=read) == 413
    assert max(asked) == 64 * 1024 + 1
    assert backend.verdicts() == []


def test_an_old_callback_replayed_for_a_new_payment_is_not_believed(
    pending: Any, payments: Payments[Any, Any], backend: Backend, mpesa_simulator: Simulator
) -> None:
    old = callback(pending)
    assert _answer(payments, old) == 200
    mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
    new = payments.c2b(**PAYMENT)
    replayed = old.replace(
        pending.third_party_reference.encode(), new.third_party_reference.encode()
    )
    assert _answer(payments, replayed) == 200
    assert [record.state for record in backend.records()] == ["completed", "pending"]
    assert backend.verdicts()[-1] == "mismatched"


@pytest.mark.parametrize(("first", "second", "state"), [("0", "INS-6", "completed"),
                                                        ("INS-6", "0", "failed")])  # fmt: skip
def test_the_first_decision_stands_and_the_second_is_kept(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard,
    first: str, second: str, state: str,
) -> None:  # fmt: skip
    for code in (first, second):
        assert _answer(payments, callback(pending, code)) == 200
    (record,) = backend.records()
    assert record.state == state
    assert record.conflict
    assert heard.names[-1] == "conflict"


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", "ação", "\0"])
def test_every_accounts_token_is_compared_in_constant_time(
    payments: Payments[Any, Any], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return given == expected

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert _answer(payments, b"{}", token) == 404
    assert compared == [(token.encode(), TOKEN.encode())]


def test_what_could_not_be_stored_is_not_acknowledged_and_its_path_not_logged(
    pending: Any, payments: Payments[Any, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A framework logs the path of a request that raised, and the token with it."""

    def broken(*args: Any) -> None:
        raise RuntimeError("the database went away")

    with monkeypatch.context() as patch:
        for name in ("find", "store_callback"):
            patch.setattr(payments.store, name, broken)
        assert _answer(payments, callback(pending)) == 500
    assert backend.verdicts() == []
