"""What a customer types."""

from __future__ import annotations

from django import forms
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from django_mpesa import ValidationError, mpesa
from django_mpesa.forms import MsisdnField

from .models import Order


class PaymentForm(forms.Form):
    msisdn = MsisdnField(
        help_text=_("For example 84 123 4567. The request for your PIN comes to this phone."),
    )

    def pay(self, order: Order) -> bool:
        """Ask the phone for an order's money, unless a payment of it is open or paid.

        Returns:
            Whether that was done; if not, the form says why.
        """
        try:
            mpesa.c2b(
                order=order,
                msisdn=self.cleaned_data["msisdn"],
                amount=order.total,
                reference=order.reference,
            )
        except ValidationError as error:
            for name, problems in error.errors_in(get_language()).items():
                if name in self.fields:
                    self.add_error(name, problems)
                else:  # the order has a payment of another amount
                    self.add_error(None, [f"{_('Amount')}: {problem}" for problem in problems])
        return self.is_valid()


class CheckoutForm(PaymentForm):
    basket = forms.UUIDField(widget=forms.HiddenInput)


class QuantityForm(forms.Form):
    quantity = forms.IntegerField(min_value=0, max_value=20)
