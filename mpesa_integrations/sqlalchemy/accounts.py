"""`Mpesa`: a program's accounts, recorded with SQLAlchemy, and what its own pages answer."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from ..core.errors import ConfigurationError
from ..core.payments.calls import Payments
from ..core.payments.endpoint import CallbackAnswer, CallbackRequest, answer_callback
from ..core.payments.handlers import Handlers
from ..core.payments.public_status import StatusAnswer, answer_status, status_events
from ..core.payments.registry import Accounts
from ..core.payments.status_tokens import StatusTokens
from ..core.settings.account import AccountSettings
from ..core.settings.account_checks import log_doubtful, refuse_serious
from ..core.settings.loader import AccountSource, AccountsSetting
from ..signals.notifier import Application, SignalNotifier, run_coroutines
from ..worker.loops import Surroundings
from ..worker.options import WorkerOptions
from ..worker.run import Worker
from .models import P
from .records import Records


class Mpesa(Accounts[P, Any]):
    """Recorded M-Pesa payments, without a web framework or beside one that has no adapter here.

    `mpesa.c2b(...)` and the other calls are the default account's; `mpesa["payouts"]` is another
    account's. Safe to be shared by threads, and by the tasks of an event loop, where the calls
    with an `a` in front are awaited. Signals are those of `mpesa_integrations.signals`, whose
    sender is this object.

    Args:
        accounts: each account's settings by its name, as docs/settings.md has them; or an
            `AccountLoader`, what makes one, or the dotted path of either.
        records: where payments are recorded.
        secret_keys: what signs the links by which a browser may ask where a payment stands: the
            key that is used, then those that were used before; without, there are no such links.
        status_path: gives such a link's path, by its token; by default, the token is given.
        in_production: whether real customers are meant to pay; what is doubtful then is logged.

    Raises:
        ConfigurationError: a setting is missing or wrong, a model is not made with its mixin, or
            the engine has one connection for everybody.
    """

    def __init__(
        self,
        accounts: AccountsSetting,
        *,
        records: Records[P],
        secret_keys: Sequence[str | bytes] = (),
        status_path: Callable[[str], str] = str,
        in_production: bool = True,
    ) -> None:
        handlers = Handlers(run_coroutines)
        super().__init__(
            AccountSource(lambda: accounts, "accounts"),
            partial(_build, self, records, handlers),
            handlers,
            status_tokens=StatusTokens(lambda: secret_keys),
            status_path=status_path,
            records=partial(_store, records),
        )
        if self.loader is None and not list(self):
            raise ConfigurationError("there is no account: give a default one", setting="accounts")
        records.check_models()
        records.check()
        if self.loader is None:
            found = {alias: self._checked(alias) for alias in self}
            log_doubtful(refuse_serious(found, in_production=in_production))

    def answer_callback(
        self,
        token: str,
        body: bytes,
        *,
        content_type: str,
        remote_address: str = "",
        forwarded_for: str = "",
    ) -> CallbackAnswer:
        """Take in an asynchronous result that was posted to the callback URL.

        Nothing raises: whatever came, the answer is what the gateway is to have. Of a body, read
        65,537 bytes at the most: what is longer than 64 KiB is refused.

        Args:
            token: the secret part of the URL's path.
            body: the bytes that came.
            content_type: the header, parameters included.
            remote_address: the peer's address; "" where it is not known.
            forwarded_for: the `X-Forwarded-For` header; what `TRUSTED_PROXIES` wrote of it counts.

        Returns:
            The HTTP status, and the body to be sent as JSON.
        """
        request = CallbackRequest(
            token=token,
            content_type=content_type,
            content_length=str(len(body)),
            remote_address=remote_address,
            forwarded_for=forwarded_for,
            read=io.BytesIO(body).read,
        )
        return answer_callback(self, request)

    def answer_status(self, token: str, language: str | None = None) -> StatusAnswer:
        """Tell a browser where a payment stands, by a token of `status_token`; docs/waiting.md.

        Args:
            token: as the browser sent it.
            language: of the words for the customer, as `pt`.

        Returns:
            The HTTP status, the body and its content type.
        """
        return answer_status(self, token, language)

    def status_events(self, token: str, language: str | None = None) -> AsyncIterator[str]:
        """The same as server-sent events, for an answer that is streamed; docs/waiting.md.

        They end when the payment is decided, or after a minute; the browser then asks again.

        Args:
            token: one that `answer_status` has answered 200 for.
            language: as for `answer_status`.

        Returns:
            The parts of a body of the type `text/event-stream`.
        """
        return status_events(self, token, language)

    def worker(
        self,
        options: WorkerOptions | None = None,
        *,
        account: str | None = None,
        echo: Callable[[str], object] = print,
    ) -> Worker:
        """Make what does all there is to do beside requests, until it is told to stop.

        `mpesa.worker().run()` is a program of its own, which SIGTERM ends; see docs/workers.md.

        Args:
            options: how much it does at a time.
            account: the only account that it works for; None means all.
            echo: takes what it has to say.

        Raises:
            ConfigurationError: there is no such account, or the settings of all are wrong.
        """
        return Worker(
            self,
            account=account,
            options=options or WorkerOptions(),
            around=Surroundings(),
            echo=echo,
        )

    def _checked(self, alias: str) -> AccountSettings:
        try:
            return self[alias].settings
        except ConfigurationError as error:
            raise ConfigurationError(
                f"accounts[{alias!r}]: {error}", setting=error.setting
            ) from error


def _build(
    mpesa: Mpesa[P], records: Records[P], handlers: Handlers, alias: str, settings: AccountSettings
) -> Payments[P, Any]:
    store = _store(records, alias)
    receiving = Application(sender=mpesa, as_sync=run_coroutines)
    return Payments(alias, settings, store, SignalNotifier(receiving, store), handlers)


def _store(records: Records[P], alias: str) -> Any:
    return records.store(alias)  # the records that it gives are of the app's own model
