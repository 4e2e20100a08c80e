"""A business's accounts by name, each built when it is first used; its calls are in `calls`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, cast

from ..errors import ConfigurationError, RecordsUnavailable
from ..failures import log_failure
from ..settings.account import AccountSettings
from ..settings.loader import AccountLoader, GivenAccounts
from ..settings.values import read_callback_token
from .callback_intake import is_token
from .calls import Payments
from .handlers import H, Handlers
from .lifecycle import State
from .loaded_accounts import InThread, LoadedAccounts, aliases_of, asked, options_of
from .queued import is_overdue
from .records import C, R
from .status_tokens import StatusTokens
from .store import Store

DEFAULT = "default"


if TYPE_CHECKING:

    class _DefaultAccount(Payments[R, C]):
        """For a type checker, the accounts have the default one's calls."""

else:

    class _DefaultAccount(Generic[R, C]):
        """The calls are looked up on the default account."""


class Accounts(_DefaultAccount[R, C]):
    """Recorded payments by account; the default account's calls as its own.

    Safe to be shared by threads; an account is built when it is first used. Those of a loader are
    loaded at each use, and built anew where their settings have changed.

    Args:
        options: gives each account's settings by its name, or what loads them, as it now is.
        build: makes an account's payments.
        handlers: the application's durable handlers, which are the same for all accounts;
            None means none yet.
        status_tokens: makes the tokens of links to a payment's status; None means that there are
            none.
        status_path: gives such a link's path, by the token.
        in_thread: awaited, runs a call in the thread where the program's coroutines have their
            database work done.
        records: gives the records of an account, also of one that is no more; None means that they
            are had by its payments alone.
    """

    def __init__(
        self,
        options: Callable[[], GivenAccounts],
        build: Callable[[str, AccountSettings], Payments[R, C]],
        handlers: Handlers | None = None,
        *,
        status_tokens: StatusTokens | None = None,
        status_path: Callable[[str], str] = str,
        in_thread: InThread = asyncio.to_thread,
        records: Callable[[str], Store[R, C]] | None = None,
    ) -> None:
        self._source = options
        self._build = build
        self._status_tokens = status_tokens or StatusTokens(tuple)
        self._status_path = status_path
        self._handlers = handlers or Handlers()
        self._lock = threading.RLock()
        self._built: dict[str, Payments[R, C]] = {}
        self._loaded = LoadedAccounts(build, in_thread)
        self.in_thread = in_thread
        self._store_of = records

    def __getitem__(self, alias: str) -> Payments[R, C]:
        """One account's payments.

        Of an account that is loaded, these are those of now: ask anew for each call, and keep them
        no longer. In a coroutine, await its calls.

        Raises:
            ConfigurationError: there is no such account, or its settings are wrong.
            RecordsUnavailable: its settings could not be loaded.
        """
        found = self._built.get(alias)
        if found is not None:
            return found
        loader = self.loader
        if loader is not None:
            return self._loaded.get(loader, alias)
        with self._lock:
            if alias not in self._built:
                self._built[alias] = self._build(alias, self._settings_of(alias))
            return self._built[alias]

    def __iter__(self) -> Iterator[str]:
        source = self._source()
        return iter(source if isinstance(source, Mapping) else aliases_of(source))

    def __contains__(self, alias: object) -> bool:
        return isinstance(alias, str) and self.options(alias) is not None

    @property
    def loader(self) -> AccountLoader | None:
        """What loads the accounts; None where the settings have them.

        Raises:
            ConfigurationError: the setting has neither.
        """
        source = self._source()
        return None if isinstance(source, Mapping) else source

    def records(self, alias: str = DEFAULT) -> Store[R, C] | None:
        """An account's records, whether or not it is one still; None where that is not known.

        Args:
            alias: the account's; any will do for what is asked of all accounts.
        """
        return None if self._store_of is None else self._store_of(alias)

    def expire_overdue(self, payment: R) -> R:
        """Fail a payment of any account that was not sent in time; as `Payments.expire_overdue`.

        Its account's settings are needed only where it was not sent in time: where they cannot be
        had, or the account is no more, it is given as it is.

        Args:
            payment: its record, as it now is.
        """
        if State(payment.state) is not State.QUEUED:
            return payment  # as most are: no store is made for them
        store = self.records(payment.account)
        if store is not None and not is_overdue(store, payment):
            return payment
        try:
            return self[payment.account].expire_overdue(payment)
        except (ConfigurationError, RecordsUnavailable) as error:
            reference = payment.third_party_reference
            log_failure("queue.not_expired", error, third_party_reference=reference)
            return payment

    def options(self, alias: str) -> Mapping[str, Any] | None:
        """An account's settings as they are given, unchecked; None where there is no such account.

        Raises:
            ConfigurationError: they are no mapping.
            RecordsUnavailable: they could not be loaded.
        """
        return _options_in(self._source(), alias)

    if not TYPE_CHECKING:
        # A checker has the calls from the base, and so sees which name is none.
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return getattr(self[DEFAULT], name)

    @property
    def handlers(self) -> Handlers:
        """The application's durable handlers."""
        return self._handlers

    def handler(self, signal: object, *, name: str | None = None) -> Callable[[H], H]:
        """Register a durable handler of an event, as a decorator.

        It is called as `handler(payment)`, or as `handler(payment, event_id=…)` where it has that
        parameter, in a transaction of its own; one that raises is undone and tried again later.
        Registered again, as where its module is loaded anew, it takes its own place.

        Args:
            signal: the event's signal, such as `payment_completed`, or its name.
            name: up to 200 characters, by which any process knows it; its module and qualified
                name if left out.

        Raises:
            TypeError: the function cannot be called so, or has no name of its own.
            ValueError: there is no such event, or the name cannot be kept or is another handler's.
        """
        return self._handlers.register(signal, name=name)

    @property
    def status_tokens(self) -> StatusTokens:
        """What makes and reads the tokens of links to a payment's status."""
        return self._status_tokens

    def status_token(self, payment: R) -> str:
        """Make the token by which a browser may ask where a payment of any account stands.

        It is good for a day, and shows nothing of the payment; whoever has it can ask.

        Raises:
            ConfigurationError: the site has no secret key.
        """
        return self._status_tokens.make(payment.account, payment.third_party_reference)

    def status_url(self, payment: R) -> str:
        """Give the path at which a browser may ask where a payment of any account stands.

        It answers in JSON with `state`, `is_open`, `is_paid`, `may_retry` and `message`, the words
        for the customer. It has a `status_token`, and so is good for a day.

        Raises:
            ConfigurationError: the site has no secret key, or does not route that address.
        """
        return self._status_path(self.status_token(payment))

    def accepting(self, token: str) -> list[str]:
        """The names of the accounts whose callback token this is.

        All are compared, so that the time taken does not show which one came close. None is
        built for it: one whose settings are wrong keeps no other's callbacks out.

        Args:
            token: the secret part of a callback URL, as a stranger may have written it.

        Raises:
            ConfigurationError: there are no accounts to be asked.
            RecordsUnavailable: the account loader raised, and nobody whose settings it gave has
                the token.
        """
        source = self._source()
        found: list[str] = []
        unread: RecordsUnavailable | None = None
        for alias in _perhaps_accepting(source, token):
            try:
                accepts = self._accepts(source, alias, token)
            except Exception as error:  # noqa: BLE001 - whatever is in the settings
                log_failure("callback.account_broken", error, account=alias)
                unread = error if isinstance(error, RecordsUnavailable) else unread
            else:
                found += [alias] if accepts else []
        if unread is not None and not found:
            raise unread  # it may be that account's
        return found

    def forget(self) -> None:
        """Close what was built; the next use reads the settings anew."""
        with self._lock:
            for payments in self._built.values():
                payments.close()
            self._built.clear()
        self._loaded.forget()

    def _accepts(self, source: GivenAccounts, alias: str, token: str) -> bool:
        built = self._built.get(alias)
        if built is not None:
            return built.accepts(token)
        options = _options_in(source, alias)
        if options is None:
            raise ConfigurationError("it has no settings", setting="MPESA")
        return is_token(token, read_callback_token(options.get("CALLBACK_TOKEN")))

    def _settings_of(self, alias: str) -> AccountSettings:
        options = cast("Mapping[str, Mapping[str, Any]]", self._source())
        if alias not in options:
            known = ", ".join(options) or "none"
            raise ConfigurationError(
                f"there is no M-Pesa account {alias!r}; the settings have {known}", setting="MPESA"
            )
        return AccountSettings.from_mapping(options[alias])


def _perhaps_accepting(source: GivenAccounts, token: str) -> Iterable[str]:
    if isinstance(source, Mapping):
        return source
    try:
        read_callback_token(token)
    except ConfigurationError:  # a database may not even compare it with what it has
        return ()
    return asked(lambda: list(source.aliases_by_token(token)), "whose callback it is")


def _options_in(source: GivenAccounts, alias: str) -> Mapping[str, Any] | None:
    return source.get(alias) if isinstance(source, Mapping) else options_of(source, alias)
