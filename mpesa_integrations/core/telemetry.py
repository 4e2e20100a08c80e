"""Counters, histograms and gauges for whoever collects them, through OpenTelemetry where installed.

Without it nothing is counted. Names and attributes are stable; no value holds a phone number. What
a meter raises stops no payment: it is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, Protocol

_P = ParamSpec("_P")
logger: logging.Logger = logging.getLogger("mpesa_integrations")


class _Meter(Protocol):
    def create_counter(self, name: str, unit: str = "", description: str = "") -> Any: ...

    def create_histogram(self, name: str, unit: str = "", description: str = "") -> Any: ...

    def create_observable_gauge(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any: ...


@cache
def _meter() -> _Meter | None:
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    meter: _Meter = metrics.get_meter("mpesa_integrations")
    return meter


@cache
def _counter(name: str, description: str) -> Any:
    meter = _meter()
    return None if meter is None else meter.create_counter(name, "1", description)


@cache
def _histogram(name: str, description: str) -> Any:
    meter = _meter()
    return None if meter is None else meter.create_histogram(name, "s", description)


_waiting: dict[str, int] = {}
_in_flight: dict[str, int] = {}


@cache
def _gauges() -> bool:
    """Make the gauges of a queue, which are read when they are collected; whether there are any."""
    meter = _meter()
    if meter is None:
        return False
    from opentelemetry.metrics import Observation

    def read(values: dict[str, int]) -> Callable[[object], list[Observation]]:
        return lambda options: [
            Observation(value, {"account": account}) for account, value in list(values.items())
        ]

    for name, values, description in (
        ("mpesa.queue.waiting", _waiting, "Payments that a worker is to send."),
        ("mpesa.queue.in_flight", _in_flight, "Payments that this worker has sent, unanswered."),
    ):
        meter.create_observable_gauge(name, [read(values)], "1", description)
    return True


def is_collected() -> bool:
    """Whether OpenTelemetry is there, so that it is worth while to find out what to tell it."""
    return _meter() is not None


def _harmless(count: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(count)
    def counted(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            count(*args, **kwargs)
        except Exception:
            logger.warning("telemetry.failed in=%s", count.__name__, exc_info=True)

    return counted


@_harmless
def count_transition(account: str, operation: str, state: str) -> None:
    """Count a payment that entered a state."""
    counter = _counter("mpesa.payment.transitions", "Payments that entered a state.")
    if counter is not None:
        counter.add(1, {"account": account, "operation": operation, "state": state})


@_harmless
def count_callback(account: str, verdict: str) -> None:
    """Count a callback that was decided."""
    counter = _counter("mpesa.callbacks", "Callbacks, by what became of them.")
    if counter is not None:
        counter.add(1, {"account": account, "verdict": verdict})


@_harmless
def note_duration(operation: str, kind: str, seconds: float) -> None:
    """Note how long a call took."""
    histogram = _histogram("mpesa.call.duration", "From sending to the whole answer.")
    if histogram is not None:
        histogram.record(seconds, {"operation": operation, "kind": kind})


@_harmless
def note_sent(account: str, operation: str, seconds: float) -> None:
    """Note that a worker sent a payment, so long after it was recorded."""
    about = {"account": account, "operation": operation}
    counter = _counter("mpesa.queue.sent", "Payments that a worker sent.")
    histogram = _histogram("mpesa.queue.delay", "From the record to the sending by a worker.")
    if counter is not None and histogram is not None:
        counter.add(1, about)
        histogram.record(seconds, about)


@_harmless
def note_queue(account: str, *, waiting: int, in_flight: int) -> None:
    """Note how many payments wait for any worker, and how many this one waits for."""
    if _gauges():
        _waiting[account], _in_flight[account] = waiting, in_flight
