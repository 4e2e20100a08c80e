"""Has stored callbacks applied by a worker: Django's own tasks where configured, or Celery's."""

from __future__ import annotations

import logging
from typing import Any, cast

from django.conf import settings

from .accounts import mpesa

logger = logging.getLogger("mpesa_integrations")

apply_callbacks: Any = None
try:
    from django.tasks import task
except ImportError:  # before Django 6
    pass
else:

    @task()
    def _apply_callbacks(alias: str) -> None:
        """Decide an account's stored callbacks."""
        while mpesa[alias].apply_callbacks(100) == 100:
            pass

    apply_callbacks = _apply_callbacks


def uses_django_tasks() -> bool:
    """Whether the project configures Django's tasks."""
    return apply_callbacks is not None and cast("Any", settings).is_overridden("TASKS")


def enqueue_callbacks(alias: str) -> None:
    """Have them applied soon; if that fails, reconcile finds them."""
    if not uses_django_tasks():
        # Here, since they need Celery, which is an extra of its own.
        from mpesa_integrations.tasks import enqueue

        from . import tasks

        enqueue(tasks.apply_callbacks, alias)
        return
    try:
        apply_callbacks.enqueue(alias)
    except Exception as error:  # noqa: BLE001 - whatever the backend raises
        logger.warning("task.not_sent task=apply_callbacks problem=%s", type(error).__name__)
