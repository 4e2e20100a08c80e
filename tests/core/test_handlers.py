"""Durable handlers as they are registered: their names, their events, and what they are given."""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpesa_integrations.core.payments.events import CALLBACK_REJECTED, Event
from mpesa_integrations.core.payments.handlers import Handlers
from mpesa_integrations.core.payments.records import OutboxEntry, in_sequence
from tests.support.awaitables import Disguise, each_disguise

COMPLETED = Event.PAYMENT_COMPLETED


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


def ship(payment: Any) -> None:
    payment.append("shipped")


class Shop:
    def book(self, payment: Any, event_id: str = "") -> None:
        payment.append(event_id)


def test_an_event_is_named_by_a_signal_its_name_or_itself(handlers: Handlers) -> None:
    for number, event in enumerate(
        (SimpleNamespace(name="payment_completed"), "payment_completed", COMPLETED)
    ):
        handlers.register(event, name=str(number))(ship)
    assert [found.name for found in handlers.of(COMPLETED)] == ["0", "1", "2"]
    assert handlers.of(Event.PAYMENT_REVERSED) == []
    for wrong in ("completed", CALLBACK_REJECTED, object(), None):
        with pytest.raises(ValueError, match="is no event of a payment that a handler can have"):
            handlers.register(wrong, name=None)


def test_its_name_is_that_of_its_module_and_its_own(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handlers.register(COMPLETED, name=None)(ship) is ship
    handlers.register(COMPLETED, name=None)(Shop().book)
    names = [found.name for found in handlers.of(COMPLETED)]
    assert names == [f"{__name__}.ship", f"{__name__}.Shop.book"]
    # A script is imported by a worker under another name than it runs under.
    script = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", script)
    monkeypatch.setattr(ship, "__module__", "__main__")
    for of_script, name in (
        ({}, "__main__.ship"),
        ({"__file__": "/srv/app.py"}, "app.ship"),
        ({"__spec__": type("Spec", (), {"name": "shop.__main__"})}, "shop.ship"),
    ):
        vars(script).update(of_script)
        handlers.register(COMPLETED, name=None)(ship)
        assert handlers.of(COMPLETED)[-1].name == name


@pytest.mark.parametrize("nameless", [lambda payment: None, partial(ship)])
def test_what_has_no_name_of_its_own_is_given_one(handlers: Handlers, nameless: Any) -> None:
    with pytest.raises(TypeError, match=r"give it one, as in @mpesa\.handler"):
        handlers.register(COMPLETED, name=None)(nameless)
    handlers.register(COMPLETED, name="ship")(nameless)
    assert handlers.known() == [("payment_completed", "ship")]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b", "отправить"])
def test_a_name_that_no_row_can_have_is_refused(handlers: Handlers, name: str) -> None:
    with pytest.raises(ValueError, match="a handler's name has 1 to 200 characters"):
        handlers.register(COMPLETED, name=name)(ship)
    handlers.register(COMPLETED, name="x" * 200)(ship)


def test_one_name_of_an_event_is_one_handlers(handlers: Handlers) -> None:
    handlers.register(COMPLETED, name="ship")(ship)
    handlers.register(Event.PAYOUT_COMPLETED, name="ship")(Shop().book)
    handlers.register(COMPLETED, name="ship")(ship)  # its module is loaded anew
    with pytest.raises(ValueError, match="'ship' is the name of another handler of payment_comp"):
        handlers.register(COMPLETED, name="ship")(Shop().book)
    assert [found.function for found in handlers.of(COMPLETED)] == [ship]


@pytest.mark.parametrize(
    "wrong",
    [lambda: None, lambda payment, order: None, lambda *, payment: None,
     lambda payment, order, event_id: None],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_at_once(handlers: Handlers, wrong: Any) -> None:
    with pytest.raises(TypeError, match="is called as handler\\(payment\\)"):
        handlers.register(COMPLETED, name="ship")(wrong)
    assert handlers.known() == []


def test_it_is_given_what_it_takes(handlers: Handlers) -> None:
    for name, function in (
        ("ship", ship),
        ("book", Shop().book),
        ("any", lambda payment, **more: payment.append(more)),
        ("keyword", lambda payment, *, event_id: payment.append(f"keyword {event_id}")),
    ):
        handlers.register(COMPLETED, name=name)(function)
    given_: list[Any] = []
    for found in handlers.of(COMPLETED):
        handlers.call(found, given_, "an ID")
    assert given_ == ["shipped", "an ID", {}, "keyword an ID"]


@pytest.mark.filterwarnings("error::RuntimeWarning")  # a coroutine that nobody awaits
@each_disguise
def test_where_nothing_awaits_it_one_that_has_to_be_awaited_fails(
    handlers: Handlers, disguise: Disguise
) -> None:
    async def ship(payment: Any) -> None: ...

    handlers.register(COMPLETED, name="ship")(disguise(ship))
    (found,) = handlers.of(COMPLETED)
    with pytest.raises(TypeError, match=r"is to be awaited.*make it a function that is done when"):
        handlers.call(found, [], "an ID")


@given(
    st.lists(st.tuples(st.sampled_from(Event), st.sampled_from(["", "ship", "book"])), max_size=8),
    st.integers(0, 50) | st.none(),
)
def test_events_have_their_places_after_all_that_are_left(
    what: list[tuple[Event, str]], greatest: int | None
) -> None:
    outbox = [OutboxEntry(event, handler=handler) for event, handler in what]
    found = in_sequence(outbox, lambda: greatest)
    assert [entry for entry, _ in found] == outbox
    if not any(handler for _, handler in what):
        assert {place for _, place in found} <= {0}
        return
    order = list(dict.fromkeys(event for event, _ in what))
    for entry, place in found:
        assert place == (greatest or 0) + 1 + order.index(entry.event)
