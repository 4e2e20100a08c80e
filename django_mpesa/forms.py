"""A phone number in a form: typed as people do, clean in the gateway's form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from mpesa_integrations import MsisdnError, format_msisdn, normalise_msisdn
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.registry import DEFAULT

from .accounts import mpesa

LONGEST = 40
"""Characters: a number with its country code, however it is spaced."""


class MsisdnInput(forms.TextInput):
    """An input that shows a phone's keys, and that the browser fills in with a phone number."""

    input_type = "tel"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"inputmode": "tel", "autocomplete": "tel", **(attrs or {})})


class MsisdnField(forms.CharField):
    """A phone number that M-Pesa is on.

    It takes what people type, as `84 123 4567` or `+258 84…`, says in the visitor's language what
    is wrong with it, and gives `258841234567`. What is on record is shown as `84 123 4567`. The
    numbers accepted are those of the default account's `MSISDN_PREFIXES`, and where accounts are
    loaded from elsewhere, all that M-Pesa has.

    Args:
        kwargs: those of Django's `CharField`.
    """

    widget = MsisdnInput
    default_error_messages = {  # noqa: RUF012 - Django's own way
        "required": _("Type the phone number that pays, as 84 123 4567."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"label": _("Phone number with M-Pesa"), "max_length": LONGEST, **kwargs}
        )

    def clean(self, value: Any) -> str:
        """Give the gateway's form; "" where nothing was typed and nothing is required.

        Raises:
            ValidationError: it is not such a number; it says what would be right.
        """
        typed = super().clean(value)
        return normalise(typed) if typed else typed

    def prepare_value(self, value: Any) -> Any:
        """Show a number as people write it; what was typed wrong stays as it was typed."""
        return format_msisdn(value) if isinstance(value, str) else value


def normalise(value: object) -> str:
    """Give a number in the gateway's form.

    Raises:
        ValidationError: Django's, in the language that is active: it is no number of M-Pesa's.
    """
    prefixes = MOZAMBIQUE.numbering.prefixes
    if mpesa.loader is None and DEFAULT in mpesa:
        prefixes = mpesa[DEFAULT].client.config.msisdn_prefixes
    try:
        return normalise_msisdn(value, prefixes)
    except MsisdnError as error:
        words = error.problem.in_language(get_language())
        raise ValidationError(words, code="invalid") from None
