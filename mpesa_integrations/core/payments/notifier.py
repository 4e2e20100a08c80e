"""How receivers and handlers of an application are called: by the frameworks, each in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from .events import Event
from .records import OutboxEntry, Record, Verdict

R_contra = TypeVar("R_contra", bound=Record, contravariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class Notifier(Protocol[R_contra, C_contra]):
    """Calls an application's receivers; must not raise, whatever a receiver does."""

    def wants(self, event: Event) -> bool:
        """Whether there is a receiver; if not, no outbox entry is written."""

    def notify(self, entry: OutboxEntry, record: R_contra, dispatched: Callable[[], None]) -> None:
        """Send an event's signal once its change is committed, then call `dispatched`."""

    def run(self, handler: str, work: Callable[[], None]) -> None:
        """Do what runs a durable handler where one may be called, after the caller's commit.

        Args:
            handler: its name, for the log.
            work: what is done there, once; what it raises, this raises where it was waited for.
        """

    def handler_failed(self, handler: str, record: R_contra, event_id: str) -> None:
        """Send the signal of a handler that waits for a person."""

    def callback_rejected(self, entry: C_contra, verdict: Verdict) -> None:
        """Send the signal of a callback that is not believed."""
