"""Celery's tasks, found by its autodiscovery: `django_mpesa.reconcile` is for beat."""

from typing import Any

from mpesa_integrations.tasks import make_tasks

from .accounts import mpesa

reconcile: Any
reconcile_account: Any
apply_callbacks: Any
send_queued: Any
reconcile, reconcile_account, apply_callbacks, send_queued = make_tasks(
    "django_mpesa", lambda: mpesa
)
