"""Takes a rule out of the library, to see that a fire run then finds what it is there for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from mpesa_integrations.core.errors import RecordsUnavailable
from mpesa_integrations.core.payments import changes, recorder, reversals
from mpesa_integrations.core.payments.events import event_of
from mpesa_integrations.core.payments.handler_runs import HandlerRuns
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.queued import Queue
from mpesa_integrations.core.payments.sending import Begun, Sender

from .apps import Shop

WAYS = (
    "early-record",
    "conditional-update",
    "no-record-no-request",
    "handler-tried-again",
    "one-payment-an-order",
    "claimed-by-one",
)


def apply(way: str, shop: Shop) -> None:
    """Take out one of WAYS in this process; "" takes out nothing."""
    if way == "early-record":
        _send_before_recording()
    elif way == "conditional-update":
        _update_whatever_the_state(type(shop.accounts["default"].store))
    elif way == "no-record-no-request":
        _send_without_a_record()
    elif way == "handler-tried-again":
        _forget_failed_handlers()
    elif way == "one-payment-an-order":
        _let_each_call_pay()
    elif way == "claimed-by-one":
        _claim_what_others_have()
    elif way:
        raise ValueError(f"there is no sabotage {way!r}; there are {', '.join(WAYS)}")


_prepared = threading.local()


def _remember_what_is_prepared() -> None:
    prepare: Any = Sender.prepare

    def remember(self: Any, *arguments: Any) -> Any:
        _prepared.request = prepare(self, *arguments)
        return _prepared.request

    Sender.prepare = remember  # type: ignore[assignment,method-assign]


def _send_before_recording() -> None:
    _remember_what_is_prepared()

    def send_and_record(self: Any, values: Any, standing: Any = None) -> tuple[Any, bool]:
        known = standing() if standing else self._store.find_by_key(values["idempotency_key"])
        if known is not None:
            return known, False
        report = _send_unrecorded(self)
        first = event_of(values["operation"], values["state"])
        record, _ = self._store.create(values, self._outbox.entries_for(first))
        return self._recorder.apply(record, report), False  # nothing is to be sent any more

    Sender._record = send_and_record  # type: ignore[method-assign]


def _send_without_a_record() -> None:
    _remember_what_is_prepared()
    record: Any = Sender._record

    def send_all_the_same(self: Any, values: Any, standing: Any = None) -> Any:
        try:
            return record(self, values, standing)
        except RecordsUnavailable:
            _send_unrecorded(self)
            raise

    Sender._record = send_all_the_same  # type: ignore[method-assign]


def _send_unrecorded(sender: Any) -> Any:
    return sender.report_of(SimpleNamespace(), lambda: sender._client.send(_prepared.request))


def _claim_what_others_have() -> None:
    claim: Any = Queue.claim

    def claim_twice(self: Any, limit: int, reference: str | None = None) -> Any:
        claimed = claim(self, limit, reference)
        for record, _ in claimed:
            self.hand_back(record)
        return claimed

    Queue.claim = claim_twice  # type: ignore[method-assign]


def _forget_failed_handlers() -> None:
    def drop(self: Any, due: Any, tried: Any, error: Exception) -> None:
        self._store.settle_outbox([due.id])

    HandlerRuns._failed = drop  # type: ignore[method-assign]


def _let_each_call_pay() -> None:
    def attempt(self: Any, request: Any, values: Any, again: bool) -> Any:
        return Begun(self._record({**values, "claimed_order_key": None})[0], request)

    def claims_nothing(record: Any, state: State) -> None:
        return None

    Sender._attempt = attempt  # type: ignore[method-assign]
    for module in (changes, recorder, reversals):
        vars(module)["claim_in"] = claims_nothing


def _update_whatever_the_state(store: Any) -> None:
    change: Any = store.change

    def unconditional(self: Any, record: Any, state: State, changes: Any) -> Any:
        return change(self, record, State(self.get(record).state), changes)

    store.change = unconditional
