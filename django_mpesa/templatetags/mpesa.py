"""What a shop's pages say of a payment: `{% load mpesa %}`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Protocol

from django import template
from django.utils.formats import number_format
from django.utils.translation import get_language

from mpesa_integrations import format_msisdn

from ..accounts import mpesa

register: template.Library = template.Library()
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


class _Told(Protocol):
    """A payment, or an order's payments."""

    def customer_message(self, language: str | None = "en") -> str:
        """What to tell the customer."""


@register.filter
def meticais(amount: Decimal | int | Literal[""] | None) -> str:
    """Write an amount as the language does: `{{ payment.amount|meticais }}`, `1.250,00 MZN`.

    Args:
        amount: meticais; of None or "", nothing is written.
    """
    if amount is None or amount == "":
        return ""
    return f"{number_format(amount, 2, use_l10n=True, force_grouping=True)}{_NO_BREAK_SPACE}MZN"


@register.filter
def customer_message(payment: _Told | Literal[""] | None) -> str:
    """What to tell a customer of a payment, or of an order's: `{{ payment|customer_message }}`."""
    return payment.customer_message(get_language()) if payment else ""


@register.filter
def status_url(payment: Any) -> str:
    """Where a page may ask how a payment stands: `{{ payment|status_url }}`; docs/waiting.md."""
    return mpesa.status_url(payment) if payment else ""


@register.filter
def msisdn(number: Any) -> str:
    """Write a whole phone number as people do: `{{ customer.phone|msisdn }}`, `84 123 4567`."""
    return format_msisdn(str(number or ""))
