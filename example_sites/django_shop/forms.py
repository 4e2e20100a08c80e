"""What a customer types."""

from __future__ import annotations

import re

from django import forms
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.msisdn import normalise_msisdn

_ANY_OPERATOR = [f"8{digit}" for digit in range(10)]


class MsisdnField(forms.CharField):
    """A phone number as people type it; clean, it is in the gateway's form."""

    def clean(self, value: str | None) -> str:
        text: str = super().clean(value)
        # Many type a 0 in front, as in the countries around.
        text = re.sub(r"^\(?0\)?\s*(?=8)", "", text)
        try:
            return normalise_msisdn(text)
        except ValueError:
            raise forms.ValidationError(_problem(text)) from None


class CheckoutForm(forms.Form):
    msisdn = MsisdnField(
        label=_("Phone number with M-Pesa"),
        help_text=_("For example 84 123 4567. The request for your PIN comes to this phone."),
        error_messages={"required": _("Type the phone number that pays.")},
    )
    basket = forms.UUIDField(widget=forms.HiddenInput)


class RetryForm(CheckoutForm):
    basket = None  # type: ignore[assignment] # how Django's forms drop an inherited field
    attempt = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


class QuantityForm(forms.Form):
    quantity = forms.IntegerField(min_value=0, max_value=20)


def _problem(text: str) -> str:
    digits = re.sub(r"^(\+|00)?258", "", re.sub(r"[^0-9+]", "", text))
    if re.search(r"[^0-9+()./\s-]", text):
        return _("A phone number has only digits, as in 84 123 4567.")  # type: ignore[return-value]
    if _is_msisdn(text):
        return (
            _("M-Pesa is on numbers that begin with 84 or 85; this one begins with %s.")
            % (digits[:2])
        )
    return _("This number has %d digits; it should have nine, as in 84 123 4567.") % len(digits)


def _is_msisdn(text: str) -> bool:
    try:
        normalise_msisdn(text, _ANY_OPERATOR)
    except ValueError:
        return False
    return True
