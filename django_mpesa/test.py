"""For a project's own tests: payments run against a gateway inside the test's process.

from django_mpesa.test import mpesa_gateway

with mpesa_gateway() as gateway:
    gateway.outcome("insufficient_balance")
    response = client.post("/checkout/", {"phone": "84 123 4567"})

Needs the extra `simulator`, and no network.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from django.test import Client, override_settings

from mpesa_integrations.core.settings.client import MpesaConfig
from mpesa_integrations.simulator.in_process import InProcessGateway, in_process_gateway

from .accounts import account_options, mpesa
from .routing import callback_path

__all__ = ["TestGateway", "mpesa_gateway"]


class TestGateway:
    """A gateway in this process; payments succeed unless `outcome` says otherwise.

    Attributes:
        ledger: what became of the money, to be compared with the shop's records.
        outcome: chooses what happens to coming requests, as `outcome("cancelled")`.
    """

    __test__ = False  # no test, whatever pytest makes of its name

    def __init__(self, gateway: InProcessGateway, account: str) -> None:
        self._gateway = gateway
        self._account = account
        self.ledger = gateway.ledger
        self.outcome = gateway.outcome

    def deliver(self, code: str | None = None) -> int:
        """Have the waiting payments' results arrive at the shop's callback URL.

        Args:
            code: decides all of them, as `INS-0` or `INS-5`; None: each as was chosen.

        Returns:
            How many there were.

        Raises:
            AssertionError: the shop did not acknowledge one.
        """
        token = mpesa[self._account].client.config.callback_token
        url = callback_path(token)

        def post(body: Any) -> None:
            answer = Client().post(url, body, content_type="application/json")
            if answer.status_code != 200:
                raise AssertionError(f"The callback was answered HTTP {answer.status_code}")

        return self._gateway.deliver(post, code)


@contextmanager
def mpesa_gateway(*, account: str = "default", asynchronous: bool = False) -> Iterator[TestGateway]:
    """Run an account's payments against a gateway in this process, with an empty ledger.

    Args:
        account: its name in MPESA; it need not be there.
        asynchronous: whether payments are only accepted, and their results come with `deliver`.
    """
    with in_process_gateway(asynchronous=asynchronous) as gateway:
        options = dict(account_options().get(account, {}))
        for field in fields(MpesaConfig):
            if field.name != "callback_token":
                options[field.name.upper()] = getattr(gateway.config, field.name)
        options.setdefault("CALLBACK_TOKEN", secrets.token_urlsafe(32))
        options.pop("CALLBACK_NETWORKS", None)
        options["TRANSPORT"] = gateway.transport
        with override_settings(MPESA={**account_options(), account: options}):
            _ = mpesa[account]  # what is wrong with the other settings is said here
            yield TestGateway(gateway, account)
