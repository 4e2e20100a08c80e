"""An account's settings that are not the client's alone: its transport, and doubts about it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mpesa_integrations import ConfigurationError, GatewayUnavailable
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse, NotConnected
from mpesa_integrations.core.settings.account import AccountSettings

from .conftest import make_config


class Relay:
    """A transport of a shop's own."""

    def send(self, request: HttpRequest) -> HttpResponse:
        raise NotConnected("the relay is closed", retryable=False)

    def close(self) -> None:
        pass


class NoTransport:
    pass


RELAY = Relay()


def _settings(**changes: Any) -> AccountSettings:
    config = make_config()
    options = {f.name.upper(): getattr(config, f.name) for f in dataclasses.fields(config)}
    return AccountSettings.from_mapping({**options, **changes})


@pytest.mark.parametrize("given", [Relay, RELAY, f"{__name__}.RELAY", f"{__name__}:Relay"])
def test_an_account_can_have_a_transport_of_its_own(given: Any) -> None:
    settings = _settings(TRANSPORT=given)
    assert isinstance(settings.transport, Relay)
    store: Any = object()
    payments: Payments[Any, Any] = Payments("default", settings, store, store)
    with pytest.raises(GatewayUnavailable, match="the relay is closed"):
        payments.client.c2b(msisdn="841234567", amount=1, reference="T")


@pytest.mark.parametrize("given", ["no.such.module", f"{__name__}.Nobody", NoTransport, 1, "a b"])
def test_another_transport_is_refused_by_name(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="transport") as caught:
        _settings(TRANSPORT=given)
    assert caught.value.setting == "transport"
