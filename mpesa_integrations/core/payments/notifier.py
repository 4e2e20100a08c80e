"""How events and rejected callbacks reach an application's receivers: the frameworks' signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from .records import Event, OutboxEntry, Record, Verdict

R_contra = TypeVar("R_contra", bound=Record, contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class Notifier(Protocol[R_contra, C_contra]):
    """Calls an application's receivers; must not raise, whatever a receiver does."""

    def wants(self, event: Event) -> bool:
        """Whether there is a receiver; if not, no outbox entry is written."""

    def notify(self, entry: OutboxEntry, record: R_contra, dispatched: Callable[[], None]) -> None:
        """Send an event's signal once its change is committed, then call `dispatched`."""

    def callback_rejected(self, entry: C_contra, verdict: Verdict) -> None:
        """Send the signal of a callback that is not believed."""
