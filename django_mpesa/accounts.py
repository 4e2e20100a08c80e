"""`mpesa`: the accounts of the MPESA setting, built when first used. What they do is core's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import connections, transaction

from mpesa_integrations.core.client import MpesaClient
from mpesa_integrations.core.config import KEY_PREFIX, MpesaConfig
from mpesa_integrations.core.errors import ConfigurationError, MpesaError
from mpesa_integrations.core.payments import Event, Payments, Verdict
from mpesa_integrations.core.results import CustomerNameResult, TransactionStatusResult

if TYPE_CHECKING:
    from .models import AbstractTransaction, CallbackLog

DEFAULT = "default"
OWN_SETTINGS = ("VERIFY_CALLBACKS", "CALLBACK_BASE_URL", "CALLBACK_NETWORKS", "TRUSTED_PROXIES")
"""Settings of an account that are this app's, and not of core's configuration."""
_T = TypeVar("_T")
_deferred = threading.local()


class CalledInTransaction(MpesaError):  # noqa: N818
    """A payment was asked for inside `atomic()` where it cannot be recorded safely."""


class Account:
    """One account's payments, safe to be shared by threads.

    Attributes:
        alias: the account's name in the MPESA setting.
        options: the account's settings, as written.
        client: the client, for calls that are not to be recorded.
        payments: core's recorded payments.
    """

    def __init__(self, alias: str, options: Mapping[str, Any]) -> None:
        from .store import DjangoStore

        self.alias = alias
        self.options = options
        self.client = MpesaClient(core_config(options))
        self._store = DjangoStore(alias)
        self.payments: Payments[Any, Any] = Payments(
            self.client,
            self._store,
            _SignalNotifier(),
            verify_callbacks=bool(options.get("VERIFY_CALLBACKS", False)),
        )

    def c2b(self, **arguments: Any) -> AbstractTransaction:
        """Take a payment from a customer; arguments and errors as `Payments.c2b`.

        Besides, `metadata=` (a dict) and `paid_for=` (any model instance) are kept with the record.

        Returns:
            The record, whose `state` says what became of the payment.

        Raises:
            CalledInTransaction: inside `atomic()` on a database that cannot record it safely.
        """
        return self._recorded(self.payments.c2b, arguments)

    def b2c(self, **arguments: Any) -> AbstractTransaction:
        """Pay out to a customer; as `c2b`."""
        return self._recorded(self.payments.b2c, arguments)

    def b2b(self, **arguments: Any) -> AbstractTransaction:
        """Pay another business; as `c2b`, with `receiver_shortcode=`."""
        return self._recorded(self.payments.b2b, arguments)

    def reverse(self, **arguments: Any) -> AbstractTransaction:
        """Give a recorded payment's money back; arguments and errors as `Payments.reverse`."""
        return self._recorded(self.payments.reverse, arguments)

    def check(self, record: AbstractTransaction) -> AbstractTransaction:
        """Ask the gateway what became of a payment, and move its record on."""
        return self._recorded(self.payments.check, {"record": record})

    def reconcile(self, limit: int = 100) -> int:
        """Check the payments that are due; how many were looked at."""
        return self.payments.reconcile(limit)

    def query_transaction_status(self, *, query_reference: str) -> TransactionStatusResult:
        """Ask where any transaction stands, changing no record."""
        return self.payments.query_transaction_status(query_reference=query_reference)

    def query_customer_name(self, *, msisdn: str) -> CustomerNameResult:
        """Ask for a customer's name, partly masked by the gateway."""
        return self.payments.query_customer_name(msisdn=msisdn)

    def _recorded(
        self, call: Callable[..., AbstractTransaction], arguments: Mapping[str, Any]
    ) -> AbstractTransaction:
        return _outside_transactions(self._store.alias, partial(call, **arguments))


class Accounts:
    """The accounts by name, and the default one's calls as its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._accounts: dict[str, Account] = {}

    def __getitem__(self, alias: str) -> Account:
        found = self._accounts.get(alias)
        if found is None:
            with self._lock:
                found = self._accounts.get(alias) or self._build(alias)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(account_settings())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self[DEFAULT], name)

    def on_setting_changed(self, *, setting: str, **kwargs: Any) -> None:
        """Forget the accounts when a test changes their settings."""
        if setting in ("MPESA", "MPESA_TRANSACTION_MODEL", "DATABASE_ROUTERS"):
            with self._lock:
                for account in self._accounts.values():
                    account.client.close()
                self._accounts.clear()

    def _build(self, alias: str) -> Account:
        options = account_settings().get(alias)
        if options is None:
            known = ", ".join(account_settings()) or "none"
            raise ConfigurationError(
                f"MPESA has no account {alias!r}; it has {known}", setting="MPESA"
            )
        account = self._accounts[alias] = Account(alias, options)
        return account


def account_settings() -> Mapping[str, Mapping[str, Any]]:
    """The MPESA setting: each account's settings by its name."""
    found: Mapping[str, Mapping[str, Any]] = getattr(settings, "MPESA", {})
    return found


def core_config(options: Mapping[str, Any]) -> MpesaConfig:
    """An account's settings as core's configuration.

    Raises:
        ConfigurationError: a setting is missing, wrong or not known.
    """
    return MpesaConfig.from_mapping(
        {KEY_PREFIX + name: value for name, value in options.items() if name not in OWN_SETTINGS}
    )


class _SignalNotifier:
    """Tells of events by Django signals; what a receiver raises is logged by Django and kept."""

    def notify(self, event: Event, record: AbstractTransaction, sent: Callable[[], None]) -> None:
        from . import signals

        def send() -> None:
            signal = getattr(signals, event.value)
            signal.send_robust(sender=type(record), transaction=record)
            sent()

        waiting: list[Callable[[], None]] | None = getattr(_deferred, "events", None)
        if waiting is None:
            send()
        else:
            waiting.append(send)

    def callback_rejected(self, entry: CallbackLog, verdict: Verdict) -> None:
        from . import signals
        from .store import get_transaction_model

        signals.callback_rejected.send_robust(
            sender=get_transaction_model(), callback=entry, verdict=verdict.value
        )


def _outside_transactions(alias: str, call: Callable[[], _T]) -> _T:
    """Run a call so that its records are committed, whatever the caller's transaction does.

    Inside `atomic()` it runs on a connection of its own, in a thread of its own; its signals are
    sent when the caller's transaction commits.
    """
    connection = connections[alias]
    # Django's TestCase wraps each test; what is committed inside of it, is committed for the test.
    if not any(not block._from_testcase for block in connection.atomic_blocks):  # type: ignore[attr-defined]
        return call()
    if connection.vendor == "sqlite":
        raise CalledInTransaction(
            "Nothing was sent. An M-Pesa call inside transaction.atomic() cannot be recorded "
            "safely on SQLite, which has one writer at a time: call it outside, or with "
            "transaction.on_commit(); see also ATOMIC_REQUESTS"
        )
    events: list[Callable[[], None]] = []

    def work() -> _T:
        _deferred.events = events
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1, thread_name_prefix="mpesa-recorded") as pool:
        result = pool.submit(work).result()
    for send in events:
        transaction.on_commit(send, using=alias, robust=True)
    return result


mpesa = Accounts()
