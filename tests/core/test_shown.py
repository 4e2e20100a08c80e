"""What a page showed of a payment, by which its form is taken or not."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from mpesa_integrations.core.payments.shown import CHANGED, digest_of, has_changed

from .conftest import make_record


def test_a_payment_that_nothing_happened_to_is_as_its_page_showed_it() -> None:
    shown = digest_of(make_record(reversed_amount=Decimal(0)))
    assert not has_changed(make_record(reversed_amount=Decimal("0.00"), checks=3), shown)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "failed"},
        {"conflict": "succeeded: paid"},
        {"conflict_decided_at": datetime(2026, 5, 3, tzinfo=timezone.utc)},
        {"reversed_amount": Decimal("0.01")},
        {"reversal_pending": Decimal("0.01")},
    ],
)
def test_whatever_people_go_by_changes_it(change: dict[str, Any]) -> None:
    assert has_changed(make_record(**change), digest_of(make_record()))


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_form_without_it_is_taken_for_an_old_one(nothing: str | None) -> None:
    assert has_changed(make_record(), nothing)


def test_people_read_it_in_their_language() -> None:
    assert CHANGED.in_language("pt-MZ").startswith("O pagamento mudou depois de esta página")
