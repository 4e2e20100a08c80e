"""The shop's entry in INSTALLED_APPS; it only wires."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ShopConfig(AppConfig):
    name = "example_sites.django_shop"
    label = "shop"
    verbose_name = _("Shop")

    def ready(self) -> None:
        """Register the handlers."""
        from . import handlers  # noqa: F401
