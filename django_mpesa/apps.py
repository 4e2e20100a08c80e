"""The app's entry in INSTALLED_APPS; it only wires."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DjangoMpesaConfig(AppConfig):
    """`django_mpesa` in INSTALLED_APPS."""

    name = "django_mpesa"
    verbose_name = _("M-Pesa")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, hide secrets, and follow changed settings in tests."""
        # Here, since the checks need the models, which are loaded after this module.
        from django.core.signals import setting_changed

        from . import checks
        from .accounts import hide_settings, on_setting_changed
        from .logs import hide_tokens_in_log

        checks.register_checks()
        hide_settings()
        hide_tokens_in_log()
        setting_changed.connect(on_setting_changed, dispatch_uid="django_mpesa")
