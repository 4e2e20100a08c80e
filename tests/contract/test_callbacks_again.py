"""A stored callback that is decided anew: believed as much as when it came, and once."""

from __future__ import annotations

from typing import Any

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.records import Verdict

from .backends import Backend
from .conftest import Heard, MakePayments
from .test_payments import callback, pending

__all__ = ["pending"]


def _only_key(backend: Backend) -> Any:
    (entry,) = backend.callbacks()
    return entry.pk if hasattr(entry, "pk") else entry.id


def test_one_whose_payment_was_missing_is_applied_once(
    pending: Any, payments: Payments[Any, Any], backend: Backend, heard: Heard
) -> None:
    backend.set_all(third_party_reference="LOSTFORAWHILE")
    payments.receive(callback(pending))
    assert backend.verdicts() == ["unmatched"]
    (found,) = payments.rejected_callbacks()
    assert (found.key, found.verdict) == (_only_key(backend), Verdict.UNMATCHED)
    assert found.third_party_reference == pending.third_party_reference
    assert payments.apply_callback_again(found.key) is Verdict.UNMATCHED
    assert payments.apply_callback_again(found.key + 1) is None
    backend.set_all(third_party_reference=pending.third_party_reference)
    assert payments.apply_callback_again(found.key) is Verdict.APPLIED
    assert backend.records()[0].state == "completed"
    assert payments.apply_callback_again(found.key) is None
    assert heard.names.count("completed") == 1
    assert payments.rejected_callbacks() == []


def test_a_forged_one_is_not_believed_the_second_time_either(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    payments.receive(callback(pending, input_OriginalConversationID="AG_20180206_x"))
    assert payments.apply_callback_again(_only_key(backend)) is Verdict.MISMATCHED
    assert backend.records()[0].state == "pending"
    assert backend.verdicts() == ["mismatched"]


def test_one_that_was_given_up_is_tried_by_a_person(
    pending: Any, payments: Payments[Any, Any], backend: Backend
) -> None:
    payments.receive(callback(pending), apply=False)
    backend.set_callbacks(verdict="failed")
    assert payments.apply_callback_again(_only_key(backend)) is Verdict.APPLIED
    assert backend.verdicts() == ["applied"]


def test_what_cannot_be_read_and_what_is_anothers_is_left_alone(
    pending: Any, payments: Payments[Any, Any], backend: Backend, make_payments: MakePayments
) -> None:
    payments.receive(b"\xff")
    assert payments.apply_callback_again(_only_key(backend)) is None
    backend.set_callbacks(verdict="unmatched")  # as one that could be read once
    assert payments.apply_callback_again(_only_key(backend)) is None
    other = make_payments(alias="payouts")
    assert other.apply_callback_again(_only_key(backend)) is None
    assert other.rejected_callbacks() == []
    assert backend.verdicts() == ["unmatched"]
