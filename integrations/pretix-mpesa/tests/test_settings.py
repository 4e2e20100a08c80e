"""The organiser's settings: of an event, and of all events."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django_scopes import scopes_disabled
from pretix.base.models import Event, LogEntry
from pretix_mpesa_integrations.accounts import EventAccounts, account_of

from django_mpesa import mpesa
from mpesa_integrations.simulator import Simulator

from .conftest import PREFIX, TOKEN
from .shopper import Shopper

pytestmark = pytest.mark.django_db
EVENT_URL = "/control/event/festas/marrabenta/settings/payment/vodacom_mpesa"
ORGANIZER_URL = "/control/organizer/festas/mpesa/"


def _form(credentials: dict[str, str], **changes: str) -> dict[str, str]:
    entered = {f"{PREFIX}{name}": value for name, value in {**credentials, **changes}.items()}
    return {**entered, f"{PREFIX}_enabled": "on", f"{PREFIX}_restrict_to_sales_channels": "web"}


def _again(event: Any) -> Any:
    """The event as the next request has it."""
    with scopes_disabled():
        return Event.objects.get(pk=event.pk)


def test_an_event_has_an_account_of_its_own(
    admin: Client, bare_event: Any, credentials: dict[str, str]
) -> None:
    assert account_of(bare_event) is None
    page = admin.post(EVENT_URL, _form(credentials), follow=True).content.decode()
    assert "Your changes have been saved" in page
    alias = f"event-{bare_event.pk}"
    assert list(EventAccounts().aliases()) == [alias]
    assert mpesa[alias].client.config.service_provider_code == credentials["service_provider_code"]
    shown = admin.get(EVENT_URL).content.decode()
    assert credentials["api_key"] not in shown
    assert credentials["security_credential_secret"] not in shown
    assert "*****" in shown
    assert "/_mpesa/callback/" in shown
    logged = "".join(entry.data for entry in LogEntry.objects.all())
    assert credentials["api_key"] not in logged
    assert credentials["security_credential_secret"] not in logged


def test_secrets_that_are_left_alone_stay(
    admin: Client, event: Any, credentials: dict[str, str]
) -> None:
    masked = {"api_key": "*****", "security_credential_secret": "*****"}
    admin.post(EVENT_URL, _form(credentials, **masked, initiator_identifier="somebody"))
    config = mpesa[f"event-{event.pk}"].client.config
    assert str(config.api_key) == credentials["api_key"]
    assert str(config.initiator_identifier) == "somebody"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_key", "two words"),
        ("public_key", "not a key"),
        ("service_provider_code", "12"),
        ("environment", "moon"),
        ("api_key", ""),
    ],
)
@pytest.mark.parametrize("url", [EVENT_URL, ORGANIZER_URL])
def test_what_is_wrong_is_said_at_its_field(
    admin: Client, bare_event: Any, credentials: dict[str, str], url: str, field: str, value: str
) -> None:
    answer = admin.post(url, _form(credentials, **{field: value}))
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [f"{PREFIX}{field}"]
    assert list(EventAccounts().aliases()) == []


def test_meticais_only(admin: Client, bare_event: Any, credentials: dict[str, str]) -> None:
    bare_event.currency = "EUR"
    bare_event.save()
    page = admin.post(EVENT_URL, _form(credentials)).content.decode()
    assert "M-Pesa takes MZN, and the event&#x27;s currency is EUR." in page


def test_events_without_an_account_have_their_organisers(
    admin: Client, bare_event: Any, credentials: dict[str, str], simulator: Simulator
) -> None:
    answer = admin.post(ORGANIZER_URL, _form(credentials), follow=True)
    assert "Your changes have been saved" in answer.content.decode()
    alias = f"organizer-{bare_event.organizer_id}"
    assert list(EventAccounts().aliases()) == [alias]
    # The event's own page changes nothing of it.
    shown = {**credentials, "api_key": "*****", "security_credential_secret": "*****"}
    admin.post(EVENT_URL, _form(shown))
    event = _again(bare_event)
    assert account_of(event) == alias
    shopper = Shopper(event)
    shopper.buy()
    assert shopper.payment.info_data["account"] == alias
    assert credentials["api_key"] not in admin.get(ORGANIZER_URL).content.decode()


def test_one_value_of_its_own_makes_an_events_account(
    bare_event: Any, organizer: Any, credentials: dict[str, str]
) -> None:
    loader, alias = EventAccounts(), f"event-{bare_event.pk}"
    bare_event.settings.set(f"{PREFIX}initiator_identifier", "another")
    assert (list(loader.aliases()), account_of(bare_event)) == ([], None)  # a key is missing yet
    for name, value in {**credentials, "callback_token_secret": TOKEN}.items():
        organizer.settings.set(PREFIX + name, value)
    event = _again(bare_event)
    assert account_of(event) == alias
    both = {f"organizer-{organizer.pk}", alias}
    assert set(loader.aliases()) == set(loader.aliases_by_token(TOKEN)) == both
    assert set(mpesa.accepting(TOKEN)) == both


def test_another_key_counts_from_the_next_payment_on(
    event: Any, credentials: dict[str, str]
) -> None:
    alias = f"event-{event.pk}"
    before = mpesa[alias].client.config
    event.settings.set(f"{PREFIX}initiator_identifier", "another")
    after = mpesa[alias].client.config
    assert (str(before.initiator_identifier), str(after.initiator_identifier)) == (
        credentials["initiator_identifier"],
        "another",
    )


def test_a_callbacks_account_is_found_by_its_token(event: Any, organizer: Any) -> None:
    loader = EventAccounts()
    token = event.settings.get(f"{PREFIX}callback_token_secret")
    assert list(loader.aliases_by_token(token)) == [f"event-{event.pk}"]
    assert list(loader.aliases_by_token("another-token-of-somebody")) == []
    del event.settings[f"{PREFIX}callback_token_secret"]
    organizer.settings.set(f"{PREFIX}callback_token_secret", token)
    assert f"event-{event.pk}" in loader.aliases_by_token(token)


@pytest.mark.parametrize("alias", ["default", "event-0", "event-x", "organizer-1", ""])
def test_there_is_no_other_account(event: Any, alias: str) -> None:
    assert EventAccounts().load(alias) is None


def test_the_organisers_page_is_for_those_who_may(organizer: Any, admin: Client) -> None:
    assert Client().get(ORGANIZER_URL).status_code == 302
    assert (
        "/control/organizer/festas/mpesa/"
        in admin.get("/control/organizer/festas/").content.decode()
    )
