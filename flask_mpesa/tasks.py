"""Celery's tasks; they need an app context, which Flask's documented task class gives them."""

from mpesa_integrations.tasks import make_tasks

from .current import accounts_of_current_app

reconcile, reconcile_account, apply_callbacks = make_tasks("flask_mpesa", accounts_of_current_app)
