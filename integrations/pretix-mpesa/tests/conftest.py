"""An event whose tickets are sold for meticais, and the local gateway that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now
from django_scopes import scopes_disabled
from pretix.base.models import Event, Organizer, Team, User

from django_mpesa import mpesa
from mpesa_integrations.simulator import Simulator

PREFIX = "payment_vodacom_mpesa_"
PLUGIN = "pretix_mpesa_integrations"
TOKEN = "a-callback-token-of-more-than-32-characters"


@pytest.fixture
def simulator(mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A local gateway, to which pretix.cfg sends everybody."""
    config = mpesa_simulator.config
    site = {
        "ENVIRONMENT": "local",
        "HOST": config.host,
        "PORT": config.port,
        "SSL": config.ssl,
        "VERIFY": config.verify,
        "TIMEOUT": "5,5",
    }
    for name, value in site.items():
        monkeypatch.setenv(f"PRETIX_MPESA_{name}", str(value))
    yield mpesa_simulator
    mpesa.forget()


@pytest.fixture
def organizer(db: None) -> Any:
    return Organizer.objects.create(name="Festas", slug="festas", plugins=PLUGIN)


@pytest.fixture
def credentials(simulator: Simulator) -> dict[str, str]:
    """What an organiser copies from the portal."""
    config = simulator.config
    return {
        "environment": "sandbox",
        "api_key": str(config.api_key),
        "public_key": str(config.public_key),
        "service_provider_code": config.service_provider_code,
        "initiator_identifier": str(config.initiator_identifier),
        "security_credential_secret": str(config.security_credential),
    }


@pytest.fixture
def bare_event(organizer: Any) -> Any:
    """An event in test mode that takes no M-Pesa yet."""
    with scopes_disabled():
        event = Event.objects.create(
            organizer=organizer,
            name="Marrabenta",
            slug="marrabenta",
            date_from=now() + timedelta(days=30),
            plugins=PLUGIN,
            currency="MZN",
            live=True,
            testmode=True,
        )
        event.settings.timezone = "Africa/Maputo"
        ticket = event.items.create(name="Ticket", default_price=Decimal("150.50"), active=True)
        quota = event.quotas.create(name="Tickets", size=100)
        quota.items.add(ticket)
    return event


@pytest.fixture
def event(bare_event: Any, credentials: dict[str, str]) -> Any:
    """The same, with an account of its own."""
    for name, value in credentials.items():
        bare_event.settings.set(PREFIX + name, value)
    bare_event.settings.set(f"{PREFIX}_enabled", True)
    bare_event.settings.set(f"{PREFIX}callback_token_secret", TOKEN)
    return bare_event


@pytest.fixture
def admin(organizer: Any) -> Client:
    """An organiser's browser."""
    user = User.objects.create_user("admin@festas.example", "a-long-password")
    team = Team.objects.create(
        organizer=organizer,
        name="Admins",
        all_events=True,
        all_event_permissions=True,
        all_organizer_permissions=True,
    )
    team.members.add(user)
    client = Client()
    client.login(email="admin@festas.example", password="a-long-password")
    return client
