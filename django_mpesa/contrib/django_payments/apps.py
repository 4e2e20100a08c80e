"""The app's entry in INSTALLED_APPS; it only wires."""

from __future__ import annotations

from django.apps import AppConfig


class MpesaPaymentsConfig(AppConfig):
    """`django_mpesa.contrib.django_payments` in INSTALLED_APPS."""

    name = "django_mpesa.contrib.django_payments"
    label = "mpesa_django_payments"

    def ready(self) -> None:
        """Have payments booked in each process: the web's, and a worker's, which loads no view."""
        from . import booking  # noqa: F401
