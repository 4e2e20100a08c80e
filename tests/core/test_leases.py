"""How long an event is kept from other workers, with a store that only remembers."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone

import pytest

from mpesa_integrations.core.payments import leases
from mpesa_integrations.core.payments.leases import hold
from tests.support.waiting import until

LASTS = timedelta(seconds=0.09)
_SHOP = ContextVar("shop", default="none")


class Kept:
    """A store that remembers what was renewed."""

    def __init__(self) -> None:
        self.held: list[tuple[tuple[str, ...], datetime]] = []
        self.threads: set[str] = set()
        self.shops: set[tuple[str, ...]] = set()
        self.breaks = 0

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        self.threads.add(threading.current_thread().name)
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("the database is away")
        self.held.append((tuple(ids), until))
        self.shops.add((_SHOP.get(), *ids))


def _keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mpesa-leases"]


@pytest.fixture(autouse=True)
def no_lease_of_another_test() -> None:
    """One that an error's frames refer to is gone once those are."""
    gc.collect()


def test_a_lease_is_renewed_from_another_thread_until_it_is_ended() -> None:
    store = Kept()
    (lease,) = hold(store, ["one"], LASTS)
    until(lambda: len(store.held) >= 3)
    assert store.threads == {"mpesa-leases"}
    ids, held_until = store.held[0]
    assert ids == ("one",)
    assert held_until <= datetime.now(timezone.utc) + LASTS
    lease.end()
    seen = len(store.held) + 1  # what was under way
    until(lambda: not _keepers())  # nothing is left running
    assert len(store.held) <= seen


def test_a_lease_is_renewed_in_the_context_in_which_it_was_taken() -> None:
    """By which a shop may choose its database, as Flask-SQLAlchemy does by the app's context."""
    store = Kept()
    held = []
    for shop in ("one", "other"):
        chosen = _SHOP.set(shop)
        held += hold(store, [f"{shop}'s"], LASTS)
        _SHOP.reset(chosen)
    until(lambda: len(store.held) >= 4)
    assert store.shops == {("one", "one's"), ("other", "other's")}
    for lease in held:
        lease.end()


def test_what_is_quick_is_never_renewed() -> None:
    store = Kept()
    for number in range(200):
        (lease,) = hold(store, [str(number)], timedelta(minutes=2))
        lease.end()
    assert store.held == []
    assert len(_keepers()) <= 1


def test_a_lease_that_nothing_refers_to_any_more_has_ended() -> None:
    """As where a transaction was rolled back with the event that waited for it."""
    store = Kept()
    held = hold(store, ["one"], LASTS)
    until(lambda: store.held)
    held.clear()
    until(lambda: not _keepers())


def test_a_shorter_lease_is_not_kept_waiting_by_a_longer_one() -> None:
    store = Kept()
    longer = hold(store, ["longer"], timedelta(minutes=2))
    shorter = hold(store, ["shorter"], LASTS)
    until(lambda: len(store.held) >= 2)
    assert {ids for ids, _ in store.held} == {("shorter",)}
    for lease in [*longer, *shorter]:
        lease.end()


def test_a_database_that_is_away_is_tried_again() -> None:
    store = Kept()
    store.breaks = 2
    (lease,) = hold(store, ["one"], LASTS)
    until(lambda: store.held)
    lease.end()


def test_leases_of_many_events_are_renewed_together() -> None:
    store = Kept()
    held = hold(store, [str(number) for number in range(1_200)], LASTS)
    until(lambda: len(store.held) >= 3)
    renewed = [entry_id for ids, _ in store.held[:3] for entry_id in ids]
    assert max(len(ids) for ids, _ in store.held) == 500
    assert len(renewed) == len(set(renewed)) == 1_200
    for lease in held:
        lease.end()


def test_a_receiver_that_never_returns_does_not_keep_its_event_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "LONGEST", 3 * LASTS)
    store = Kept()
    (lease,) = hold(store, ["one"], LASTS)
    until(lambda: "signal.not_ended event_id=one" in caplog.text)
    assert store.held
    until(lambda: not _keepers())
    lease.end()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_renews_its_own_and_not_its_parents() -> None:
    store = Kept()
    (lease,) = hold(store, ["parents"], LASTS)
    until(lambda: store.held)
    child = os.fork()
    if not child:
        own = Kept()
        mine = hold(own, ["childs"], LASTS)
        deadline = time.monotonic() + 5
        while not own.held and time.monotonic() < deadline:
            time.sleep(0.005)
        os._exit(0 if mine and {ids for ids, _ in own.held} == {("childs",)} else 1)
    assert os.waitpid(child, 0)[1] == 0
    lease.end()
