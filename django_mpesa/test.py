"""For a project's own tests: payments run against a gateway inside the test's process.

from django_mpesa.test import mpesa_gateway

with mpesa_gateway() as gateway:
    gateway.outcome("insufficient_balance")
    response = client.post("/checkout/", {"phone": "84 123 4567"})

Needs the extra `simulator`, and no network.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from django.test import Client, override_settings

from mpesa_integrations.core.settings.client import MpesaConfig
from mpesa_integrations.core.settings.loader import AccountLoader, AccountsSetting
from mpesa_integrations.simulator.in_process import InProcessGateway, in_process_gateway
from mpesa_integrations.simulator.ledger import Ledger

from .accounts import account_source, mpesa
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
        self.ledger: Ledger = gateway.ledger
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
            # As the gateway does, by HTTPS: a site may redirect what comes without.
            answer = Client().post(url, body, content_type="application/json", secure=True)
            if answer.status_code != 200:
                raise AssertionError(f"The callback was answered HTTP {answer.status_code}")

        return self._gateway.deliver(post, code)


class _Replaced:
    """An account loader that gives the settings of one account, and leaves the others to another.

    Args:
        loader: the other.
        account: the account's name.
        options: its settings.
    """

    def __init__(self, loader: AccountLoader, account: str, options: Mapping[str, Any]) -> None:
        self._loader = loader
        self._account = account
        self._options = options

    def aliases(self) -> list[str]:
        return list(dict.fromkeys([self._account, *self._loader.aliases()]))

    def load(self, alias: str) -> Mapping[str, Any] | None:
        return self._options if alias == self._account else self._loader.load(alias)

    def aliases_by_token(self, token: str) -> list[str]:
        return list(dict.fromkeys([self._account, *self._loader.aliases_by_token(token)]))


def _with_account(account: str, options: Mapping[str, Any]) -> AccountsSetting:
    found = account_source()
    if isinstance(found, Mapping):
        return {**found, account: options}
    return _Replaced(found, account, options)


@contextmanager
def mpesa_gateway(*, account: str = "default", asynchronous: bool = False) -> Iterator[TestGateway]:
    """Run an account's payments against a gateway in this process, with an empty ledger.

    Args:
        account: its name in MPESA; it need not be there.
        asynchronous: whether payments are only accepted, and their results come with `deliver`.
    """
    with in_process_gateway(asynchronous=asynchronous) as gateway:
        options = dict(mpesa.options(account) or {})
        for field in fields(MpesaConfig):
            if field.name != "callback_token":
                options[field.name.upper()] = getattr(gateway.config, field.name)
        options.setdefault("CALLBACK_TOKEN", secrets.token_urlsafe(32))
        options.pop("CALLBACK_NETWORKS", None)
        options["TRANSPORT"] = gateway.transport
        with override_settings(MPESA=_with_account(account, options)):
            _ = mpesa[account]  # what is wrong with the other settings is said here
            yield TestGateway(gateway, account)
