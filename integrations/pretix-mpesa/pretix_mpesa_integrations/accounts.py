"""The M-Pesa accounts of a pretix: an event's own, or its organiser's, from pretix's settings.

An account belongs to whoever's settings have the credentials: `organizer-3`, or `event-17` where
the event has some of its own. Payments name it, and stay with it whatever is set afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Q
from django_scopes import scopes_disabled
from pretix.base.models import Event, Organizer

PREFIX = "payment_vodacom_mpesa_"
"""Before the names of the settings, as pretix has them for a payment method."""
CREDENTIALS = {
    "environment": "ENVIRONMENT",
    "api_key": "API_KEY",
    "public_key": "PUBLIC_KEY",
    "service_provider_code": "SERVICE_PROVIDER_CODE",
    "initiator_identifier": "INITIATOR_IDENTIFIER",
    # pretix masks what is called a secret in its log.
    "security_credential_secret": "SECURITY_CREDENTIAL",
}
"""The settings that make an account, and what the library calls them."""
_CREDENTIAL_KEYS = [PREFIX + key for key in CREDENTIALS]
TOKEN = PREFIX + "callback_token_secret"
"""The setting that has the secret part of the callback URL."""
LOCAL_ONLY = "local"
"""The environment of a gateway on the developer's own machine."""
_SITE_OPTIONS = (
    "environment",
    "host",
    "port",
    "ssl",
    "verify",
    "proxy",
    "timeout",
    "send",
    "callback_networks",
    "trusted_proxies",
)
"""What the section `[mpesa]` of pretix.cfg may have, for all accounts."""
_pretix: Any = settings
"""Has more than Django's settings."""
_MODELS: Mapping[str, type[Any]] = {"event": Event, "organizer": Organizer}


class EventAccounts:
    """The account loader: MPESA names it."""

    def aliases(self) -> Iterable[str]:
        """Name the accounts that there are."""
        organizers = _with_setting(Organizer, [f"{PREFIX}api_key"])
        with_key = Q(pk__in=_with_setting(Event, [f"{PREFIX}api_key"]))
        events = _own_accounts(with_key | Q(organizer__in=organizers))
        return [*(f"organizer-{key}" for key in organizers), *events]

    def load(self, alias: str) -> Mapping[str, Any] | None:
        """Give an account's settings as they now are; None where it has no API key."""
        holder = _holder(alias)
        if holder is None or not holder.settings.get(f"{PREFIX}api_key"):
            return None
        return options_of(holder.settings)

    def aliases_by_token(self, token: str) -> Iterable[str]:
        """Name the accounts whose callback token this may be."""
        organizers = _with_setting(Organizer, [TOKEN], token)
        events = _with_setting(Event, [TOKEN], token)
        found = [*(f"organizer-{key}" for key in organizers), *(f"event-{key}" for key in events)]
        if organizers:  # whose events have their token, unless they have one of their own
            found += _own_accounts(Q(organizer__in=organizers))
        return dict.fromkeys(found)


def account_of(event: Event) -> str | None:
    """The account that an event's payments are made with now; None where none is set up."""
    if not event.settings.get(f"{PREFIX}api_key"):
        return None
    if any(_own_values(event).values()):
        return f"event-{event.pk}"
    return f"organizer-{event.organizer_id}"


def options_of(found: Any) -> dict[str, Any]:
    """An account's settings as the library reads them.

    Args:
        found: pretix's settings of an event or an organiser, or a mapping.
    """
    options = {name: found.get(PREFIX + key) for key, name in CREDENTIALS.items()}
    options["CALLBACK_TOKEN"] = found.get(TOKEN)
    options["SEND"] = "task" if _pretix.HAS_CELERY else "now"
    return {key: value for key, value in (options | site_options()).items() if value}


def site_options() -> dict[str, str]:
    """What pretix.cfg says for all accounts, in the section `[mpesa]`."""
    config = _pretix.CONFIG_FILE
    found = {name: config.get("mpesa", name, fallback=None) for name in _SITE_OPTIONS}
    return {name.upper(): value for name, value in found.items() if value}


def takes_real_money(event: Event) -> bool:
    """Whether an event's payments move money."""
    options = options_of(event.settings)
    return options.get("ENVIRONMENT") == "production"


def ensure_callback_token(found: Any) -> None:
    """Make the callback token of an event's or an organiser's settings, if there is none."""
    if not found.get(TOKEN):
        found.set(TOKEN, secrets.token_urlsafe(32))


def _holder(alias: str) -> Any:
    kind, _, key = alias.partition("-")
    if kind not in _MODELS or not key.isdecimal():
        return None
    with scopes_disabled():
        return _MODELS[kind].objects.filter(pk=int(key)).first()


def _own_values(event: Event) -> dict[str, str]:
    """What an event has of its own, not its organiser's, among the credentials."""
    rows = event._settings_objects.filter(key__in=_CREDENTIAL_KEYS)
    return dict(rows.values_list("key", "value"))


def _own_accounts(which: Q) -> list[str]:
    """Name the accounts of some events: of those that have a credential of their own."""
    own = _with_setting(Event, _CREDENTIAL_KEYS)
    with scopes_disabled():
        found = Event.objects.filter(which, pk__in=own).order_by("pk")
        return [f"event-{key}" for key in found.values_list("pk", flat=True)]


def _with_setting(model: type[Any], keys: Sequence[str], value: str | None = None) -> Any:
    """The primary keys of the events, or organisers, that have one of these of their own."""
    rows = model._settings_objects.rel.related_model.objects.filter(key__in=keys)
    rows = rows.exclude(value="") if value is None else rows.filter(value=value)
    return rows.order_by("object_id").values_list("object_id", flat=True).distinct()
