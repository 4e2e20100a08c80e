"""What a customer types."""

from __future__ import annotations

from typing import Any

from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import Form, IntegerField, TelField
from wtforms.validators import DataRequired, InputRequired, NumberRange, Optional, ValidationError
from wtforms.widgets import HiddenInput

from mpesa_integrations import MsisdnError, normalise_msisdn

from .menu import ITEMS, Item


def is_msisdn(form: Form, field: TelField) -> None:
    """Bring a phone number, as people type it, to the gateway's form.

    Raises:
        ValidationError: what is wrong with it, in the customer's language.
    """
    try:
        field.data = normalise_msisdn(field.data)
    except MsisdnError as error:
        raise ValidationError(error.problem.in_language(str(get_locale()))) from None


class PaymentForm(FlaskForm):  # type: ignore[misc] # Flask-WTF is not typed
    msisdn = TelField(
        _("Phone number with M-Pesa"),
        [DataRequired(_("Type the phone number that pays.")), is_msisdn],
        description=_("As 84 123 4567. This phone will ask for your PIN."),
    )
    attempt = IntegerField(validators=[InputRequired(), NumberRange(min=1)], widget=HiddenInput())


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
