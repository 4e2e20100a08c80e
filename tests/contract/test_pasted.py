"""Arguments as an order has them and as people paste them, over every store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.core.payments.calls import Payments

from .backends import Backend

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": 12345}
ID = UUID("0b3f2f4e-7f0e-4c9f-8b60-3f9f4fd1f0aa")


@pytest.mark.parametrize(("key", "kept"), [(7, "7"), (ID, str(ID)), ("order-7", "order-7")])
def test_a_primary_key_names_a_payment(
    payments: Payments[Any, Any], backend: Backend, key: Any, kept: str
) -> None:
    first = payments.c2b(**PAYMENT, idempotency_key=key)
    assert payments.c2b(**PAYMENT, idempotency_key=kept).pk == first.pk
    back = payments.reverse(transaction_id=first.transaction_id, idempotency_key=f"{kept}-back")
    (record, _) = backend.records()
    assert (record.reference, record.idempotency_key) == ("12345", kept)
    assert back.state == "completed"


def test_what_was_pasted_is_recorded_clean(payments: Payments[Any, Any], backend: Backend) -> None:
    payments.c2b(msisdn="\u202a+258 (0) 84 123 4567\u202c", amount=1, reference=" ORDER\u200b 7")
    (record,) = backend.records()
    assert (record.msisdn, record.reference) == ("258841234567", "ORDER 7")


@pytest.mark.parametrize("key", [True, 7.0, Decimal(7), b"7", 10**100])
def test_another_key_is_refused_in_words(
    payments: Payments[Any, Any], backend: Backend, key: Any
) -> None:
    with pytest.raises(ValidationError) as caught:
        payments.c2b(**PAYMENT, idempotency_key=key)
    assert list(caught.value.errors) == ["idempotency_key"]
    assert "whole number" in str(caught.value) or "1 to 100" in str(caught.value)
    assert backend.records() == []
