"""Leaves work to Django's own tasks, where the project configures them, or to Celery's."""

from __future__ import annotations

import importlib
import logging
from typing import Any, cast

import django
from django.conf import settings

from mpesa_integrations.background import enqueue, enqueue_sending

logger: logging.Logger = logging.getLogger("mpesa_integrations")

# Loaded once they are needed: of Celery's and of Django's, a project need not have either.
_CELERYS, _DJANGOS = "django_mpesa.tasks", "django_mpesa.django_tasks"


def uses_django_tasks() -> bool:
    """Whether the project configures Django's tasks."""
    return django.VERSION >= (6, 0) and cast("Any", settings).is_overridden("TASKS")


def enqueue_callbacks(alias: str) -> None:
    """Have them applied soon; if nobody is told, `mpesa_worker` or reconcile finds them."""
    if uses_django_tasks():
        _enqueue("apply_callbacks", alias)
    else:
        enqueue(_CELERYS, "apply_callbacks", alias)


def enqueue_queued(alias: str, third_party_reference: str) -> None:
    """Have a queued payment sent soon; if nobody is told, `mpesa_worker` finds it."""
    if uses_django_tasks():
        _enqueue("send_queued", alias, third_party_reference)
    else:
        enqueue_sending(_CELERYS, alias, third_party_reference)


def _enqueue(name: str, *arguments: str) -> None:
    try:
        getattr(importlib.import_module(_DJANGOS), name).enqueue(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever the settings of TASKS or its backend raise
        logger.warning("task.not_sent task=%s problem=%s", name, type(error).__name__)
