"""What a customer types."""

from __future__ import annotations

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from mpesa_integrations import MsisdnError, normalise_msisdn


class MsisdnField(forms.CharField):
    """A phone number as people type it; clean, it is in the gateway's form."""

    def clean(self, value: str | None) -> str:
        try:
            return normalise_msisdn(super().clean(value))
        except MsisdnError as error:
            raise forms.ValidationError(error.problem.in_language(get_language())) from None


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
