"""What is counted, through OpenTelemetry's real SDK."""

from __future__ import annotations

from typing import Any

import pytest

from mpesa_integrations.core import telemetry

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

_READER = InMemoryMetricReader()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    metrics.set_meter_provider(MeterProvider([_READER]))
    for made in (telemetry._meter, telemetry._counter, telemetry._histogram, telemetry._gauges):
        made.cache_clear()


def _points() -> dict[str, list[Any]]:
    data = _READER.get_metrics_data()
    found: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = list(metric.data.data_points)
    return found


def test_transitions_callbacks_and_durations_are_counted() -> None:
    for state in ("pending", "completed", "completed"):
        telemetry.count_transition("default", "c2b", state)
    telemetry.count_callback("default", "applied")
    telemetry.note_duration("c2b", "success", 0.25)
    points = _points()
    counted = {p.attributes["state"]: p.value for p in points["mpesa.payment.transitions"]}
    assert counted == {"pending": 1, "completed": 2}
    (callback,) = points["mpesa.callbacks"]
    assert (callback.value, callback.attributes["verdict"]) == (1, "applied")
    (duration,) = points["mpesa.call.duration"]
    assert (duration.count, duration.sum) == (1, 0.25)


def test_the_queue_is_measured() -> None:
    for waiting, in_flight in ((7, 2), (5, 4)):
        telemetry.note_queue("default", waiting=waiting, in_flight=in_flight)
    telemetry.note_queue("payouts", waiting=0, in_flight=0)
    telemetry.note_sent("default", "c2b", 0.5)
    telemetry.note_sent("default", "c2b", 1.5)
    points = _points()
    waits = {p.attributes["account"]: p.value for p in points["mpesa.queue.waiting"]}
    flies = {p.attributes["account"]: p.value for p in points["mpesa.queue.in_flight"]}
    assert (waits, flies) == ({"default": 5, "payouts": 0}, {"default": 4, "payouts": 0})
    (sent,) = points["mpesa.queue.sent"]
    (delay,) = points["mpesa.queue.delay"]
    assert (sent.value, delay.count, delay.sum) == (2, 2, 2.0)
    assert dict(sent.attributes) == {"account": "default", "operation": "c2b"}


def test_without_opentelemetry_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_meter", lambda: None)
    telemetry._counter.cache_clear()
    telemetry._gauges.cache_clear()
    telemetry.count_callback("default", "applied")
    telemetry.note_sent("default", "c2b", 1)
    telemetry.note_queue("default", waiting=1, in_flight=1)
    assert not telemetry.is_collected()
    for made in (telemetry._counter, telemetry._histogram, telemetry._gauges):
        made.cache_clear()
