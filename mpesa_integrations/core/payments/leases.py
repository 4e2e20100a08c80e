"""Keeps an outbox entry from other workers for as long as receivers are at work on its event.

An entry is handed to another worker once its lease has run out, since its process may have died.
One thread of the process renews the leases that are older than a third of their time; it is there
only while there are leases, and costs a quick receiver nothing. What is dispatched is in `outbox`,
how a lease is written is the store's.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from contextvars import copy_context
from datetime import datetime, timedelta, timezone
from typing import Protocol

logger: logging.Logger = logging.getLogger("mpesa_integrations")

LONGEST = timedelta(hours=1)
"""How long one lease is renewed: a receiver that never returns must not keep its event for ever."""
_AT_A_TIME = 500


class HoldsOutbox(Protocol):
    """What renews leases: a store."""

    def hold_outbox(self, ids: Sequence[str], until: datetime) -> None:
        """Keep entries from other workers until a time.

        Called from a thread of its own, in the context of who took the leases.
        """


class _Owner:
    """Who took some leases at once: their store, and the context in which they are renewed.

    That may say which database there is, as a Flask app's does.
    """

    __slots__ = ("_context", "_store")

    def __init__(self, store: HoldsOutbox) -> None:
        self._store = store
        self._context = copy_context()

    def hold(self, ids: Sequence[str], until: datetime) -> None:
        self._context.run(self._store.hold_outbox, ids, until)


class Lease:
    """An outbox entry that others are kept from until `end`, or until nothing refers to this.

    The latter is what happens to an event that waits for a transaction which is rolled back: what
    would have dispatched it is dropped, and its lease with it. So a worker dispatches it.
    """

    __slots__ = ("__weakref__", "_ends", "due", "id", "lasts", "owner")

    def __init__(self, owner: _Owner, entry_id: str, lasts: timedelta) -> None:
        self.owner: _Owner = owner
        self.id: str = entry_id
        self.lasts: timedelta = lasts
        self._ends = time.monotonic() + LONGEST.total_seconds()
        self.due: float = time.monotonic() + lasts.total_seconds() / 3

    def end(self) -> None:
        """Renew it no more: it was dispatched, or never will be by this process."""
        _keeper.drop(self)

    def renewed(self) -> bool:
        """Move on when it is renewed next; False where it was renewed for long enough."""
        self.due = time.monotonic() + self.lasts.total_seconds() / 3
        return self.due < self._ends


class _Keeper:
    """The process's leases, and the thread that renews them."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a forked process does: it has no thread, and dispatches nothing."""
        self._changed = threading.Condition()
        self._held: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._wakes = 0.0

    def keep(self, lease: Lease) -> None:
        with self._changed:
            self._held.add(lease)
            if self._thread is None:
                self._start(lease)
            elif lease.due < self._wakes:
                self._changed.notify()

    def drop(self, lease: Lease) -> None:
        with self._changed:
            self._held.discard(lease)

    def _start(self, lease: Lease) -> None:
        thread = threading.Thread(target=self._run, name="mpesa-leases", daemon=True)
        self._wakes = lease.due
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is about to end
            logger.warning("signal.not_held problem=%s", error)
        else:
            self._thread = thread

    def _run(self) -> None:
        while self._wait():
            for owner, due in self._due().items():
                _renew(owner, due)

    def _wait(self) -> bool:
        """Wait until a lease may be due; False where there are none, and the thread is to end."""
        with self._changed:
            dues = [lease.due for lease in self._held]
            if not dues:
                self._thread = None
                return False
            self._wakes = min(dues)
            # Nothing here refers to a lease meanwhile: one that is dropped must be gone.
            self._changed.wait(max(0.0, self._wakes - time.monotonic()))
            return True

    def _due(self) -> dict[_Owner, list[tuple[str, timedelta]]]:
        now = time.monotonic()
        found: dict[_Owner, list[tuple[str, timedelta]]] = {}
        with self._changed:
            for lease in list(self._held):
                # Those that would be due soon, too: together they are one statement.
                if lease.due > now + lease.lasts.total_seconds() / 6:
                    continue
                if lease.renewed():
                    found.setdefault(lease.owner, []).append((lease.id, lease.lasts))
                else:
                    self._held.discard(lease)
                    logger.error("signal.not_ended event_id=%s after=%s", lease.id, LONGEST)
        return found


def _renew(owner: _Owner, due: list[tuple[str, timedelta]]) -> None:
    for first in range(0, len(due), _AT_A_TIME):
        some = due[first : first + _AT_A_TIME]
        try:
            until = datetime.now(timezone.utc) + min(lasts for _, lasts in some)
            owner.hold([entry_id for entry_id, _ in some], until)
        except Exception as error:  # noqa: BLE001 - whatever the database's library raises
            # It is tried again in a third of the time; until then the lease holds.
            logger.warning("signal.not_held problem=%s", type(error).__name__)


_keeper = _Keeper()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keeper.forget)


def hold(store: HoldsOutbox, ids: Iterable[str], lasts: timedelta) -> list[Lease]:
    """Keep outbox entries from other workers, from now on until each lease's end.

    Args:
        store: where the entries are.
        ids: of entries whose own lease has just begun.
        lasts: for how long they are kept without being renewed.
    """
    owner = _Owner(store)
    leases = [Lease(owner, entry_id, lasts) for entry_id in ids]
    for lease in leases:
        _keeper.keep(lease)
    return leases
