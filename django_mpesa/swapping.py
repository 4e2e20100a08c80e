"""Which model the payments are in; to be asked also while models are still being loaded."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from django.apps import apps
from django.conf import settings

if TYPE_CHECKING:
    from .models import AbstractTransaction

DEFAULT_MODEL = "django_mpesa.Transaction"


def get_transaction_model() -> type[AbstractTransaction]:
    """The model of payments: MPESA_TRANSACTION_MODEL, or the app's own.

    For a foreign key, name `settings.MPESA_TRANSACTION_MODEL` itself.

    Raises:
        LookupError: there is no such model, or its module is just being imported.
    """
    name = getattr(settings, "MPESA_TRANSACTION_MODEL", DEFAULT_MODEL)
    try:
        model: type[AbstractTransaction] = apps.get_model(name, require_ready=False)
    except LookupError:
        # The model's app comes later in INSTALLED_APPS, and has its turn now.
        app = apps.get_app_config(name.partition(".")[0])
        import_module(f"{app.name}.models")
        model = apps.get_model(name, require_ready=False)
    return model
