"""The shop's payments, as django-payments documents them."""

from __future__ import annotations

from django.urls import reverse
from payments.models import BasePayment


class Payment(BasePayment):  # type: ignore[misc] # django-payments is not typed
    def get_failure_url(self) -> str:
        return reverse("pay", args=[self.pk])

    def get_success_url(self) -> str:
        return reverse("thanks", args=[self.pk])
