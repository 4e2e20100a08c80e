"""What the steps of a worker did, added up: a loop goes by whether that is anything."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from mpesa_integrations.core.payments.queue_sender import Sent
from mpesa_integrations.core.payments.reconcile import Reconciled

COUNTS = [
    (made, field.name) for made in (Sent, Reconciled) for field in fields(made)
    if field.name != "more"
]  # fmt: skip


@pytest.mark.parametrize(("made", "name"), COUNTS)
def test_each_count_is_added_to_its_own(made: Any, name: str) -> None:
    assert made(**{name: 2}) + made(**{name: 3}) == made(**{name: 5})


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_more_may_be_queued_where_one_of_the_steps_says_so(first: bool, second: bool) -> None:
    assert (Sent(more=first) + Sent(more=second)).more
    assert not (Sent() + Sent()).more


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (Sent, {"claimed", "written", "handed_back", "expired"}),
        (Reconciled, {"asked", "dispatched", "callbacks", "expired"}),
    ],
)
def test_something_was_done_where_a_row_was_looked_at(made: Any, names: set[str]) -> None:
    assert {field.name for field in fields(made) if made(**{field.name: 1})} == names
    assert not made()


@pytest.mark.parametrize("name", ["asked", "expired", "failed", "dispatched", "callbacks"])
def test_more_may_be_due_where_a_batch_was_full(name: str) -> None:
    assert Reconciled(**{name: 3}).may_be_more(3)
    assert not Reconciled(**{name: 2}).may_be_more(3)
