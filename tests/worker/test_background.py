"""Whether a task is put on a queue: only where the site has set Celery up."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import celery
import pytest

from django_mpesa import background as django_background
from mpesa_integrations import background

_ASK = "from mpesa_integrations.background import celery_is_set_up; print(celery_is_set_up())"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment", "found"),
    [
        ("", {}, "False"),
        ("", {"CELERY_BROKER_URL": "redis://127.0.0.1"}, "True"),
        ("import celery; app = celery.Celery('shop'); app.set_default(); ", {}, "True"),
    ],
)
def test_celery_that_nobody_set_up_is_left_alone(
    before: str, environment: dict[str, str], found: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "CELERY_BROKER_URL"}
    done = subprocess.run(
        [sys.executable, "-c", before + _ASK], capture_output=True, text=True, check=True,
        env={**kept, **environment},
    )  # fmt: skip
    assert done.stdout.strip() == found


def test_without_celery_nothing_is_put_on_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not background.celery_is_set_up()
    background.enqueue("no_such_module", "apply_callbacks", "default")


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_a_broker_that_is_down_is_a_line_in_the_log_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broker: str
) -> None:
    shop = celery.Celery("shop", broker=broker, set_as_current=False)

    class Tasks:
        @shop.task(name="shop.apply_callbacks")  # type: ignore[untyped-decorator]
        def apply_callbacks(alias: str) -> None:  # noqa: N805
            pass

    monkeypatch.setattr(background, "celery_is_set_up", lambda: True)
    monkeypatch.setitem(sys.modules, "shop_tasks", Tasks)
    slept: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)
    background.enqueue("shop_tasks", "apply_callbacks", "default")
    assert sum(slept) < 1
    assert "task.not_sent task=apply_callbacks problem=OperationalError" in caplog.text


def test_tasks_that_cannot_be_loaded_are_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "celery_is_set_up", lambda: True)
    background.enqueue("no_such_module", "apply_callbacks", "default")
    monkeypatch.setattr(django_background, "_DJANGOS", "no_such_module")
    monkeypatch.setattr(django_background, "uses_django_tasks", lambda: True)
    django_background.enqueue_callbacks("default")
    line = "task.not_sent task=apply_callbacks problem=ModuleNotFoundError"
    assert caplog.messages == [line] * 2


def test_where_celery_is_eager_the_task_is_run_and_no_broker_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = celery.Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    shop.conf.task_always_eager = True
    done: list[str] = []

    class Tasks:
        @shop.task(name="shop.apply_callbacks")  # type: ignore[untyped-decorator]
        def apply_callbacks(alias: str) -> None:  # noqa: N805
            done.append(alias)

    monkeypatch.setattr(background, "celery_is_set_up", lambda: True)
    monkeypatch.setitem(sys.modules, "shop_tasks", Tasks)
    background.enqueue("shop_tasks", "apply_callbacks", "default")
    assert done == ["default"]


def test_a_payment_that_is_to_be_a_task_where_there_is_no_celery_is_an_error_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "celery_is_set_up", lambda: False)
    background.enqueue_sending("no_such_module", "default", "REF1")
    assert "task.not_sent task=send_queued third_party_reference=REF1" in caplog.text
