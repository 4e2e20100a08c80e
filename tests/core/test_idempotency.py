"""What may be an idempotency key, and when a repeated call gives the payment on record."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.core.errors import IdempotencyConflict
from mpesa_integrations.core.payments.idempotency import check_repeated
from mpesa_integrations.core.payments.keys import check_key

from .conftest import make_record

KEY = "order-7"
VALUES: dict[str, Any] = {
    "operation": "c2b", "amount": Decimal("150.00"), "msisdn": "258841234567",
    "reference": "ORDER 7", "idempotency_key": KEY,
}  # fmt: skip
ORDER = UUID("12345678123456781234567812345678")


@pytest.mark.parametrize(
    ("key", "text"),
    [(None, None), ("a", "a"), ("x" * 100, "x" * 100), (7, "7"), (0, "0"), (-7, "-7"),
     (10**100 - 1, "9" * 100), (ORDER, str(ORDER))],
)  # fmt: skip
def test_a_key_is_text_a_whole_number_or_a_uuid(key: Any, text: str | None) -> None:
    assert check_key(key) == text


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "must have 1 to 100 characters on one line"),
        ("x" * 101, "must have 1 to 100 characters on one line"),
        ("a\nb", "must have 1 to 100 characters on one line"),
        (10**100, "must have 1 to 100 characters on one line"),
        pytest.param(10**5000, "must have 1 to 100 characters on one line",
                     id="more digits than Python writes"),
        (-(10**100), "must have 1 to 100 characters on one line"),
        (True, "must be text or a whole number, not bool"),
        (7.5, "must be text or a whole number, not float"),
        (b"order-7", "must be text or a whole number, not bytes"),
    ],
)  # fmt: skip
def test_any_other_key_is_refused(key: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_key(key)
    assert caught.value.errors == {"idempotency_key": [problem]}


def _repeated(shops: Any = None, known: Any = None, **values: Any) -> Any:
    record = make_record(idempotency_key=KEY, **(known or {}))
    assert check_repeated(record, {**VALUES, **values}, shops or {}) is record
    return record


def test_the_same_call_gives_the_payment_on_record() -> None:
    _repeated()
    _repeated(amount=Decimal(150))
    _repeated(operation=None, amount=None, msisdn=None, reference=None)
    _repeated({"metadata": {"metadata": {"other": 1}}, "order": {"order_id": 7}},
              {"order_id": 7})  # fmt: skip
    _repeated(known={"original_id": 3}, original_id=3)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("operation", "b2c"),
        ("original_id", 3),
        ("amount", Decimal("150.01")),
        ("msisdn", "258841234568"),
        ("receiver_shortcode", "171717"),
        ("reference", "ORDER 8"),
    ],
)
def test_a_key_that_was_used_for_something_else_is_refused(name: str, other: Any) -> None:
    with pytest.raises(IdempotencyConflict) as caught:
        _repeated(**{name: other})
    assert str(caught.value) == (
        f"Nothing was sent. The idempotency key was used before, with another {name}; "
        "use a key of its own for each payment"
    )
    assert caught.value.third_party_reference == "REF7"


def test_a_key_that_was_used_for_another_of_the_shops_things_is_refused() -> None:
    with pytest.raises(IdempotencyConflict, match="with another order;") as caught:
        _repeated({"order": {"order_id": 8}}, {"order_id": 7})
    assert caught.value.third_party_reference == "REF7"


@pytest.mark.parametrize("other", ["Order-7", "order-7 ", "ordér-7"])
def test_a_key_that_only_the_database_takes_for_the_same_is_refused(other: str) -> None:
    with pytest.raises(IdempotencyConflict, match="differs in capitals") as caught:
        _repeated(idempotency_key=other)
    assert caught.value.third_party_reference == "REF7"
