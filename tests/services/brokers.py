"""A Celery app per broker, for the tests' own processes."""

from __future__ import annotations

import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.settings")
if "MPESA_TEST_DJANGO_NAME" in os.environ:
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = os.environ["MPESA_TEST_DJANGO_NAME"]
django.setup()


def make_app(broker: str, queue: str) -> Celery:
    """A Celery app that is the process's current one."""
    made = Celery("tests", broker=broker)
    made.conf.task_default_queue = queue
    made.conf.broker_connection_retry_on_startup = True
    made.autodiscover_tasks(["django_mpesa"], force=True)
    made.set_default()
    made.set_current()
    return made


app = make_app(
    os.environ.get("MPESA_TEST_BROKER", "redis://127.0.0.1:6379/0"),
    os.environ.get("MPESA_TEST_QUEUE", "mpesa-test"),
)
