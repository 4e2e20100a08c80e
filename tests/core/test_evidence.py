"""By what a payment is asked for, and whether the answer can only be about it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from mpesa_integrations.core.payments.evidence import StatusQuery, kept_id, status_query_for
from mpesa_integrations.core.protocol.references import made_about, new_third_party_reference

NOW = datetime.now(timezone.utc)
OURS = new_third_party_reference()


@pytest.mark.parametrize(
    ("columns", "query"),
    [
        ({}, StatusQuery(OURS, proves=True)),
        ({"conversation_id": "AG.1:2"}, StatusQuery("AG.1:2", proves=True)),
        ({"conversation_id": "AG 1", "transaction_id": "T1"}, StatusQuery(OURS, proves=True)),
        ({"third_party_reference": "ORDER7"}, StatusQuery("ORDER7", proves=False)),
        (
            {"third_party_reference": "ORDER7", "transaction_id": "T1"},
            StatusQuery("T1", proves=True),
        ),
        (
            {"third_party_reference": "ORDER7", "transaction_id": "T1", "conversation_id": "AG_1"},
            StatusQuery("AG_1", proves=True),
        ),
        # It may be that of the payment that is given back.
        (
            {"third_party_reference": "R7", "transaction_id": "T1", "operation": "reversal"},
            StatusQuery("R7", proves=False),
        ),
        ({"response_code": "INS-10", "conflict": "x"}, StatusQuery(OURS, proves=False)),
        ({"response_code": "INS-10"}, StatusQuery(OURS, proves=True)),  # of an attempt of its own
        ({"response_code": "INS-9", "conflict": "x"}, StatusQuery(OURS, proves=True)),
    ],
)
def test_what_is_asked_can_only_be_this_payment_or_proves_nothing(
    columns: dict[str, str], query: StatusQuery
) -> None:
    record: Any = SimpleNamespace(
        **{"operation": "c2b", "third_party_reference": OURS, "conversation_id": "",
           "transaction_id": "", "response_code": "", "conflict": "", **columns},
    )  # fmt: skip
    assert status_query_for(record, NOW) == query


def test_a_reference_of_this_librarys_is_known_by_its_form_and_its_time() -> None:
    assert all(made_about(new_third_party_reference(), datetime.now(timezone.utc)) for _ in "123")
    for hours in (-23, 23):
        assert made_about(OURS, NOW + timedelta(hours=hours))
    for other in (OURS[:-1], OURS + "A", "x" + OURS[1:], "A" * 20, "0" * 20, "", "F7T1"):
        assert not made_about(other, NOW)
    for days in (-2, 2):
        assert not made_about(OURS, NOW + timedelta(days=days))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, ""), ("AG_1", "AG_1"), ("AG 1", "AG 1"), ("x" * 64, "x" * 64), ("x" * 65, ""),
        ("\u00e7", ""), ("a\nb", ""), ("", ""),
    ],
)  # fmt: skip
def test_an_id_is_kept_whole_or_not_at_all(said: str | None, kept: str) -> None:
    assert kept_id(said) == kept
