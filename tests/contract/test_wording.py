"""What the gateway says moves a payment, whatever characters it says it in; over every store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.reconcile import Reconciled
from mpesa_integrations.simulator import Simulator
from tests.support.callbacks import ASYNC_URL

from .backends import Backend, SqlAlchemyBackend
from .conftest import Heard, MakePayments
from .test_payments import PAYMENT, callback, pending

__all__ = ["pending"]

SAID = "Transação concluída ✓ 🎉 Итого"
IN = {
    "utf8mb4": SAID,
    "utf8mb3": "Transação concluída ✓ ? Итого",
    "latin1": "Transação concluída ? ? ?????",
    "ascii": "Transa??o conclu?da ? ? ?????",
}
_COLUMNS = {
    "payments": {"conversation_id": 64, "transaction_id": 64, "response_code": 16,
                 "response_description": 255, "conflict": 255},
    "callbacks": {"conversation_id": 64, "third_party_reference": 64},
}  # fmt: skip


class CannotHoldError(ValueError):
    """As a driver's, whose connection is in a smaller character set."""


def _alter(backend: Backend, charset: str) -> None:
    for table, columns in _COLUMNS.items():
        changes = ", ".join(
            f"MODIFY {name} VARCHAR({length}) CHARACTER SET {charset} NOT NULL"
            for name, length in columns.items()
        )
        backend.execute(f"ALTER TABLE {{{table}}} {changes}")


@pytest.fixture(params=["utf8mb4", "utf8mb3", "latin1", "ascii"])
def charset(
    request: pytest.FixtureRequest, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The character set that the columns are in; real ones on MariaDB, and feigned elsewhere."""
    name: str = request.param
    if "mariadb" in _vendor(backend):
        _alter(backend, name)
        yield name
        _alter(backend, "utf8mb4")
        return
    most = {"utf8mb4": 0x10FFFF, "utf8mb3": 0xFFFF, "latin1": 0xFF, "ascii": 0x7F}[name]
    kind = type(backend.store())

    def refusing(method: Any) -> Any:
        def checked(store: Any, *args: Any) -> Any:
            if any(ord(c) > most for c in _texts(args)):
                raise CannotHoldError(f"not in {name}")
            return method(store, *args)

        return checked

    for method in ("change", "note_conflict", "store_callback", "find"):
        monkeypatch.setattr(kind, method, refusing(getattr(kind, method)))
    yield name


def _vendor(backend: Backend) -> str:
    if isinstance(backend, SqlAlchemyBackend):
        return "mariadb" if backend.engine.dialect.name == "mysql" else backend.engine.dialect.name
    from django.db import connection

    return "mariadb" if connection.vendor == "mysql" else connection.vendor


def _texts(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(map(_texts, value.values()))
    if isinstance(value, tuple):
        return "".join(map(_texts, value))
    values = getattr(value, "values", None)
    if isinstance(values, dict):  # a change
        return _texts(values) + _texts(value.callback or {})
    return ""


def test_a_callback_moves_the_payment_in_whatever_characters_it_comes(
    pending: Any, payments: Payments[Any, Any], backend: Backend, charset: str
) -> None:
    body = callback(pending, input_ResultDesc=SAID)
    assert payments.receive(body)[0] == 200
    (record,) = backend.records()
    assert (record.state, record.response_description) == ("completed", IN[charset])
    (entry,) = backend.callbacks()
    assert entry.verdict == "applied"
    assert bytes(entry.body) == body  # as it came


def test_a_worker_applies_such_a_callback(
    pending: Any, payments: Payments[Any, Any], backend: Backend, charset: str
) -> None:
    body = callback(pending, input_ResultDesc="🎉" * 300)
    assert payments.receive(body, apply=False)[0] == 200
    assert payments.apply_callbacks() == 1
    assert backend.verdicts() == ["applied"]
    (record,) = backend.records()
    assert record.state == "completed"
    assert record.response_description == ("🎉" if charset == "utf8mb4" else "?") * 255


def test_a_transaction_id_in_such_characters_moves_the_payment_too(
    pending: Any, payments: Payments[Any, Any], backend: Backend, charset: str
) -> None:
    assert payments.receive(callback(pending, input_TransactionID="4XDF🎉"))[0] == 200
    (record,) = backend.records()
    assert record.state == "completed"
    # An ID is kept whole or not at all: with another character in it, it would be another's.
    assert record.transaction_id == ""
    shown = "4XDF🎉" if charset == "utf8mb4" else "4XDF?"
    assert f"Transaction ID '{shown}' was not kept" in record.response_description
    assert backend.verdicts() == ["applied"]


def test_an_answers_words_move_the_payment(
    payments: Payments[Any, Any], backend: Backend, charset: str, mpesa_simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from mpesa_integrations.core.protocol import answers

    read = answers.read_json_object
    monkeypatch.setattr(
        answers, "read_json_object", lambda body: {**read(body), "output_ResponseDesc": SAID}
    )
    record = payments.c2b(**PAYMENT)
    assert (record.state, record.response_description) == ("completed", IN[charset])
    mpesa_simulator.scenarios.queue("insufficient_balance")
    assert payments.c2b(**PAYMENT).state == "failed"


def test_contradicting_news_is_kept_in_whatever_characters_it_comes(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard, charset: str
) -> None:
    payments.receive(callback(pending))
    for _ in range(2):
        assert payments.receive(callback(pending, "INS-6", input_ResultDesc=SAID))[0] == 200
    (record,) = backend.records()
    assert record.conflict.endswith(IN[charset])
    assert backend.verdicts() == ["applied", "conflict", "conflict"]
    assert heard.names.count("conflict") == 1


def test_a_strangers_references_are_kept_and_match_nobodys(
    pending: Any, payments: Payments[Any, Any], backend: Backend, charset: str
) -> None:
    for changes in (
        {"input_ThirdPartyReference": "🎉Ünbekannt"},
        {"input_OriginalConversationID": "AG🎉"},
        {"input_ThirdPartyReference": "x" * 300},
    ):
        assert payments.receive(callback(pending, **changes))[0] == 200
    assert backend.verdicts() == ["unmatched", "mismatched", "unmatched"]
    assert backend.records()[0].state == "pending"
    assert json.loads(bytes(backend.callbacks()[0].body))["input_ThirdPartyReference"][0] == "🎉"
    assert payments.reconcile() == Reconciled()


def test_an_error_that_is_not_about_characters_changes_no_words(
    pending: Any, payments: Payments[Any, Any], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = payments.store.change
    tries: list[Any] = []

    def once_broken(*args: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise RuntimeError("a deadlock, as it may be")
        return change(*args)

    monkeypatch.setattr(payments.store, "change", once_broken)
    assert payments.receive(callback(pending, input_ResultDesc="concluída"))[0] == 200
    assert backend.records()[0].response_description == "concluída"


def test_on_a_postgresql_database_in_latin1_too(
    backend: Backend, make_payments: MakePayments, mpesa_simulator: Simulator
) -> None:
    if _vendor(backend) != "postgresql" or not isinstance(backend, SqlAlchemyBackend):
        pytest.skip("a database of PostgreSQL's, made for one of the stores")
    name = f"{backend.engine.url.database}_latin1"
    with backend.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
        server.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        server.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )
        latin1 = SqlAlchemyBackend(backend.engine.url.set(database=name))
        try:
            payments = make_payments(store=latin1.store())
            mpesa_simulator.response_url = ASYNC_URL
            mpesa_simulator.scenarios.queue("callback_never", operation="c2b")
            record = payments.c2b(**PAYMENT)
            mpesa_simulator.callbacks.drain()
            assert payments.receive(callback(record, input_ResultDesc=SAID))[0] == 200
            (record,) = latin1.records()
            assert (record.state, record.response_description) == ("completed", IN["latin1"])
            stranger = callback(record, input_ThirdPartyReference="🎉")
            assert payments.receive(stranger)[0] == 200
            assert latin1.verdicts() == ["applied", "unmatched"]
        finally:
            latin1.engine.dispose()
            server.exec_driver_sql(f"DROP DATABASE {name}")
