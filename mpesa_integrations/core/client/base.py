"""What every client of the gateway has: settings, a kept token, checked calls. No bytes are sent.

How bytes travel and how to wait between attempts is each client's own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..errors import ConfigurationError
from ..protocol import requests
from ..protocol.authentication import encrypt_api_key
from ..protocol.exchange import longest_pauses
from ..protocol.operations import Operation
from ..protocol.requests import CallContext, PreparedRequest, http_request, operation_of
from ..redaction import forgetful_calls
from ..sentry import keep_from_sentry
from ..settings.client import MpesaConfig
from .attempts import LoggedExchange
from .references import new_third_party_reference


@forgetful_calls
class BaseClient:
    """A client but for the sending; to be made once per account and shared.

    Args:
        config: the settings, or a function that returns the current ones (asked at each call, so
            that a renewed API key is used from the next call on).
    """

    def __init__(self, config: MpesaConfig | Callable[[], MpesaConfig]) -> None:
        self._source = config
        self._bearer: tuple[str, str, str] = ("", "", "")
        self._lock = threading.Lock()

    @property
    def config(self) -> MpesaConfig:
        """The settings that the next call uses."""
        return self._source if isinstance(self._source, MpesaConfig) else self._source()

    @property
    def longest_attempt(self) -> timedelta:
        """The time within which one attempt is connected and answered, or given up."""
        return timedelta(seconds=sum(self.config.timeout))

    @property
    def longest_call(self) -> timedelta:
        """The time after which a call that was begun is neither answered nor sent again."""
        config = self.config
        connect, read = config.timeout
        # An answer's head and its body may each take the time to read.
        attempts = (config.retries + 1) * (connect + 2 * read)
        return timedelta(seconds=attempts + longest_pauses(config.retries))

    def renew(self, *, api_key: str) -> None:
        """Use another API key from the next call on; calls under way end with the old one.

        Raises:
            ConfigurationError: the key cannot be used, or the client was given a function, which
                must itself return the renewed key.
        """
        with self._lock:
            if not isinstance(self._source, MpesaConfig):
                raise ConfigurationError(
                    "api_key comes from the function that the client was given; renew it there",
                    setting="api_key",
                )
            self._source = replace(self._source, api_key=api_key)

    def prepare(self, operation_name: str, **arguments: Any) -> PreparedRequest:
        """Check a call's arguments and fill in what the account knows, sending nothing.

        Args:
            operation_name: `c2b`, `b2c`, `b2b`, `reversal`, `query_transaction_status` or
                `query_customer_name`.
            arguments: those of the method of that name; None counts as left out.

        Raises:
            ValidationError: with a message per wrong argument.
            ConfigurationError: a setting that the operation needs is missing.
        """
        keep_from_sentry()
        given = {name: value for name, value in arguments.items() if value is not None}
        given.setdefault("third_party_reference", new_third_party_reference())
        return requests.prepare(operation_name, given, self.config)

    def _exchange(self, request: PreparedRequest) -> LoggedExchange:
        """Begin the exchange of a prepared request."""
        begun = self._begin(
            self.config, request.operation, request.parameters, request.third_party_reference
        )
        begun.request = replace(begun.request, time_left=request.time_left)
        return begun

    def _exchange_of(self, context: CallContext) -> LoggedExchange:
        """Begin the exchange of a call that is in no table.

        Raises:
            ConfigurationError: the context cannot be called as it stands.
        """
        changes = context.settings
        config = replace(self.config, **changes) if changes else self.config
        operation = operation_of(context, config.market)
        reference = context.parameters.get(config.market.reference_parameter)
        return self._begin(config, operation, context.parameters, reference, context.headers)

    def _begin(
        self,
        config: MpesaConfig,
        operation: Operation,
        parameters: Mapping[str, str],
        reference: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> LoggedExchange:
        keep_from_sentry()
        request = http_request(
            operation, parameters, config, bearer=self._bearer_for(config), headers=headers
        )
        return LoggedExchange(operation, config, request=request, reference=reference)

    def _bearer_for(self, config: MpesaConfig) -> str:
        kept = self._bearer
        if kept[0] != config.api_key or kept[1] != config.public_key:
            # One assignment, so another thread sees the old token or the new one, never a mixture.
            token = encrypt_api_key(config.api_key, config.public_key)
            kept = self._bearer = (config.api_key, config.public_key, token)
        return kept[2]
