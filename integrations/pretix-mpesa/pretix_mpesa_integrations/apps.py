"""The plugin as pretix finds it; it only wires."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from pretix.base.plugins import PLUGIN_LEVEL_EVENT_ORGANIZER_HYBRID, PluginConfig

from . import __version__


class MpesaPlugin(PluginConfig):  # type: ignore[misc] # pretix is not typed
    """`pretix_mpesa_integrations` in INSTALLED_APPS, where pretix puts it by its entry point."""

    default = True
    name = "pretix_mpesa_integrations"
    verbose_name = _("M-Pesa")

    class PretixPluginMeta:
        """What the lists of plugins show."""

        name = _("M-Pesa (Vodacom Mozambique)")
        author = "The mpesa-integrations developers"
        version = __version__
        category = "PAYMENT"
        level = PLUGIN_LEVEL_EVENT_ORGANIZER_HYBRID
        visible = True
        description = _("Take payments with M-Pesa, and give money back.")
        compatibility = "pretix>=2026.8"
        settings_links = (
            (
                (_("Payment"), _("M-Pesa")),
                "control:event.settings.payment.provider",
                {"provider": "vodacom_mpesa"},
            ),
        )

    def ready(self) -> None:
        """Load the accounts from pretix's settings, and follow what happens."""
        settings.MPESA = "pretix_mpesa_integrations.accounts:EventAccounts"
        # A worker's process has them, too, which loads no view.
        from . import booking, signals  # noqa: F401
