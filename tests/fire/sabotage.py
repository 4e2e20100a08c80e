"""Takes a rule out of the library, to see that a fire run then finds what it is there for."""

from __future__ import annotations

from typing import Any

from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import Event
from mpesa_integrations.core.payments.sending import Sender

from .apps import Shop

WAYS = ("early-record", "conditional-update")


def apply(way: str, shop: Shop) -> None:
    """Take out one of WAYS in this process; "" takes out nothing."""
    if way == "early-record":
        _send_before_recording()
    elif way == "conditional-update":
        _update_whatever_the_state(type(shop.accounts["default"].store))
    elif way:
        raise ValueError(f"there is no sabotage {way!r}; there are {', '.join(WAYS)}")


def _send_before_recording() -> None:
    def send_and_record(self: Any, request: Any, values: Any, extra: Any) -> Any:
        known = self._store.find_by_key(values["idempotency_key"])
        if known is not None:
            return known
        report = self._report_of(request)
        record, _ = self._store.create(values, self._outbox.entries_for(Event.INITIATED))
        return self._recorder.apply(record, report)

    Sender._record_and_send = send_and_record  # type: ignore[method-assign]


def _update_whatever_the_state(store: Any) -> None:
    change: Any = store.change

    def unconditional(self: Any, record: Any, state: State, changes: Any) -> Any:
        return change(self, record, State(self.get(record).state), changes)

    store.change = unconditional
