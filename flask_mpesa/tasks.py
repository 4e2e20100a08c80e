"""Celery's tasks; they need an app context, which Flask's documented task class gives them."""

from typing import Any

from mpesa_integrations.tasks import make_tasks

from .current import accounts_of_current_app

reconcile: Any
reconcile_account: Any
apply_callbacks: Any
send_queued: Any
reconcile, reconcile_account, apply_callbacks, send_queued = make_tasks(
    "flask_mpesa", accounts_of_current_app
)
