"""What a customer types."""

from __future__ import annotations

from typing import Any

from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import IntegerField
from wtforms.validators import DataRequired, NumberRange, Optional

from flask_mpesa import ValidationError
from flask_mpesa.forms import MsisdnField

from .menu import ITEMS, Item
from .models import Order, mpesa


class PaymentForm(FlaskForm):  # type: ignore[misc] # Flask-WTF is not typed
    msisdn = MsisdnField(
        _("Phone number with M-Pesa"),
        [DataRequired(_("Type the phone number that pays."))],
        description=_("As 84 123 4567. This phone will ask for your PIN."),
    )

    def pay(self, order: Order) -> bool:
        """Ask the phone for an order's money, unless a payment of it is open or paid.

        Returns:
            Whether that was done; if not, the form says why.
        """
        try:
            mpesa.c2b(
                order=order.id,
                msisdn=self.msisdn.data,
                amount=order.total,
                reference=order.reference,
            )
        except ValidationError as error:
            problems = error.errors_in(str(get_locale()))
            self.msisdn.errors = problems.get("msisdn", [])
            # The order has a payment of another amount.
            said = gettext("Amount")
            self.form_errors += [f"{said}: {problem}" for problem in problems.get("amount", [])]
        return not self.errors


class MenuForm(FlaskForm):  # type: ignore[misc]
    """How many of each; one field for each item of the menu is added below."""

    @property
    def chosen(self) -> list[tuple[Item, int]]:
        return [(item, self[item.slug].data) for item in ITEMS if self[item.slug].data]

    def validate(self, extra_validators: Any = None) -> bool:
        """At least one of anything."""
        if not super().validate(extra_validators):
            self.form_errors.append(gettext("Of each, take a number from 0 to 20."))
        elif not self.chosen:
            self.form_errors.append(gettext("Choose something first: how many of what?"))
        return not self.errors


for _item in ITEMS:
    _count = IntegerField(_item.name, [Optional(), NumberRange(0, 20)], default=0)
    setattr(MenuForm, _item.slug, _count)
