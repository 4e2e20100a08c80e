"""What a shop imports stands at the top of the packages, and says to a type checker what it is."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from blinker import NamedSignal

import django_mpesa
import flask_mpesa
import mpesa_integrations
from django_mpesa import signals as django_signals
from flask_mpesa import signals as flask_signals
from mpesa_integrations import (
    AuthenticationError,
    MpesaClient,
    MpesaError,
    PaymentDeclined,
    Result,
)
from mpesa_integrations.core import errors
from mpesa_integrations.simulator import Simulator

ROOT = Path(__file__).parents[1]
_WORDS = {
    "CalledInTransaction", "Event", "IdempotencyConflict", "Ran", "State", "UnfinishedHandler",
    "Verdict",
}  # fmt: skip


@pytest.mark.parametrize("package", [mpesa_integrations, django_mpesa, flask_mpesa])
def test_each_name_is_there_and_is_one_thing(package: ModuleType) -> None:
    assert set(package.__all__) >= _WORDS
    for name in package.__all__:
        found = getattr(package, name)
        assert getattr(mpesa_integrations, name, found) is found
    assert callable(django_mpesa.get_transaction_model)


def test_the_frameworks_have_the_same_signals_by_the_names_of_the_events() -> None:
    names = {event.value for event in mpesa_integrations.Event}
    names |= {"callback_rejected", "handler_failed"}
    kinds = (django_signals.MpesaSignal, NamedSignal)
    for module in (django_signals, flask_signals):
        found = {name: value for name, value in vars(module).items() if isinstance(value, kinds)}
        assert set(found) == names
        assert all(signal.name == name for name, signal in found.items())
        assert all(module.signal_of(e) is found[e.value] for e in mpesa_integrations.Event)
        assert len({id(signal) for signal in found.values()}) == len(names)
    assert repr(django_signals.payout_failed) == "<MpesaSignal payout_failed>"


def test_each_error_is_public() -> None:
    found = {name for name, value in vars(errors).items()
             if isinstance(value, type) and issubclass(value, MpesaError)}  # fmt: skip
    assert found <= set(mpesa_integrations.__all__)


def test_each_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name in (
        *_WORDS,
        "get_transaction_model",
        "OrderAttempts",
        "OrderPayments",
        "UnreadableBody",
        "Message",
    ):
        # The errors are there all together.
        assert re.search(rf"\.{name}$", page, re.MULTILINE) or hasattr(errors, name), name


def test_what_people_read_imports_nothing_of_core() -> None:
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        assert "from mpesa_integrations.core" not in page.read_text(), page


def code_of(error: PaymentDeclined | AuthenticationError) -> str:
    """Checked by the type checker: a result there always is."""
    result: Result = error.result
    return str(result.code)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("INS-6", PaymentDeclined), ("INS-5", PaymentDeclined), ("INS-2", AuthenticationError)],
)
def test_an_answer_that_declines_has_a_result(
    mpesa_simulator: Simulator, code: str, kind: type[PaymentDeclined] | type[AuthenticationError]
) -> None:
    mpesa_simulator.scenarios.queue(f"code:{code}")
    with MpesaClient(mpesa_simulator.config) as client, pytest.raises(kind) as caught:
        client.c2b(msisdn="84 123 4567", amount=1, reference="X")
    error = caught.value
    assert isinstance(error, (PaymentDeclined, AuthenticationError))
    assert code_of(error) == code
