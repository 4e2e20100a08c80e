"""An account's form fields, on an event's page and on an organiser's, and how they are checked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from pretix.base.forms import SECRET_REDACTED, SecretKeySettingsField

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.settings.account import AccountSettings

from .accounts import CREDENTIALS, PREFIX, options_of


def account_fields() -> OrderedDict[str, forms.Field]:
    """The fields, by the names of the settings, without what pretix puts before them."""
    return OrderedDict(
        environment=forms.ChoiceField(
            label=_("Environment"),
            choices=(
                ("sandbox", _("Sandbox: no money moves. For events in test mode only")),
                ("production", _("Production: customers pay real money")),
            ),
            initial="sandbox",
        ),
        service_provider_code=forms.CharField(
            label=_("Service provider code"),
            help_text=_("Your shortcode: 5 or 6 digits."),
        ),
        api_key=SecretKeySettingsField(
            label=_("API key"), help_text=_("From the account page of M-Pesa's developer portal.")
        ),
        public_key=forms.CharField(
            label=_("Public key"),
            help_text=_("From the same page, whole."),
            widget=forms.Textarea(attrs={"rows": 4}),
        ),
        initiator_identifier=forms.CharField(
            label=_("Initiator identifier"),
            help_text=_("Needed to give money back."),
            required=False,
        ),
        security_credential_secret=SecretKeySettingsField(
            label=_("Security credential"),
            help_text=_("Needed to give money back."),
            required=False,
        ),
    )


def check_account(entered: Mapping[str, Any], stored: Any) -> None:
    """Refuse what M-Pesa could not be called with.

    Args:
        entered: cleaned values, by the settings' whole names; a secret that was left alone is
            masked.
        stored: the settings as they were.

    Raises:
        ValidationError: of the field that is wrong.
    """
    values = {
        key: stored.get(key) if value == SECRET_REDACTED else value
        for key, value in entered.items()
        if key.startswith(PREFIX)
    }
    try:
        AccountSettings.from_mapping(options_of(values))
    except ConfigurationError as error:
        field = _field_of(error.setting)
        raise ValidationError({field: str(error)} if field else str(error)) from error


def _field_of(setting: str | None) -> str | None:
    """The form's field for a setting; None where it is pretix.cfg's."""
    names = {name.lower(): PREFIX + key for key, name in CREDENTIALS.items()}
    return names.get((setting or "").lower())
