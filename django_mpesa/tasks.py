"""Celery's tasks, found by its autodiscovery: `django_mpesa.reconcile` is for beat."""

from mpesa_integrations.tasks import make_tasks

from .accounts import mpesa

reconcile, reconcile_account, apply_callbacks = make_tasks("django_mpesa", lambda: mpesa)
