"""Counters and a histogram for whoever collects them, through OpenTelemetry's API where installed.

Without it nothing is counted. Names and attributes are stable; no value holds a phone number. What
a meter raises stops no payment: it is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, Protocol

_P = ParamSpec("_P")
logger = logging.getLogger("mpesa_integrations")


class _Meter(Protocol):
    def create_counter(self, name: str, unit: str = "", description: str = "") -> Any: ...

    def create_histogram(self, name: str, unit: str = "", description: str = "") -> Any: ...


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
def _call_duration() -> Any:
    meter = _meter()
    if meter is None:
        return None
    return meter.create_histogram("mpesa.call.duration", "s", "From sending to the whole answer.")


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
    histogram = _call_duration()
    if histogram is not None:
        histogram.record(seconds, {"operation": operation, "kind": kind})
