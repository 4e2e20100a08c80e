"""The asynchronous client: the blocking one's methods, to be awaited.

What is sent and what an answer means is `protocol`'s. Nothing here needs the extra `async`, but the
transport that a client makes for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import cast

from ..errors import ConfigurationError
from ..protocol.http import AsyncTransport, NoAnswer, NotConnected, Sending
from ..protocol.outcomes import Answer
from ..protocol.requests import CallContext, PreparedRequest
from ..protocol.results import CustomerNameResult, Result, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.client import MpesaConfig
from .attempts import LoggedExchange
from .base import BaseClient


@forgetful_calls
class AsyncMpesaClient(BaseClient):
    """A client of the M-Pesa gateway for one event loop, to be shared by all of its tasks.

    Each call returns and raises what `MpesaClient`'s of the same name does, by the same evidence of
    which bytes may have left. Of a call that is cancelled once its request may have left, money may
    move: a warning in the log says so, with the third-party reference to query.

    Args:
        config: the settings, or a function that returns the current ones (asked at each call, so
            that a renewed API key is used from the next call on; it must not wait).
        transport: another way to send bytes; aiohttp over pooled connections when left out.

    Raises:
        ConfigurationError: aiohttp is not installed, and no transport was given.
    """

    def __init__(
        self,
        config: MpesaConfig | Callable[[], MpesaConfig],
        *,
        transport: AsyncTransport | None = None,
    ) -> None:
        super().__init__(config)
        self._transport: AsyncTransport = transport or _own_transport()

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> AsyncMpesaClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Take a payment from a customer; as `MpesaClient.c2b`."""
        return await self.send(
            self.prepare(
                "c2b",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    async def b2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay out to a customer; as `MpesaClient.b2c`."""
        return await self.send(
            self.prepare(
                "b2c",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    async def b2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay another business; as `MpesaClient.b2b`."""
        return await self.send(
            self.prepare(
                "b2b",
                receiver_shortcode=receiver_shortcode,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    async def reverse(
        self,
        *,
        transaction_id: str,
        amount: str | int | Decimal | None = None,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Give a transaction's money back, or a part of it; as `MpesaClient.reverse`."""
        return await self.send(
            self.prepare(
                "reversal",
                transaction_id=transaction_id,
                amount=amount,
                third_party_reference=third_party_reference,
            )
        )

    async def query_transaction_status(
        self, *, query_reference: str, third_party_reference: str | None = None
    ) -> TransactionStatusResult:
        """Ask where a transaction stands; as `MpesaClient.query_transaction_status`."""
        request = self.prepare(
            "query_transaction_status",
            query_reference=query_reference,
            third_party_reference=third_party_reference,
        )
        return cast("TransactionStatusResult", await self.send(request))

    async def query_customer_name(
        self, *, msisdn: str, third_party_reference: str | None = None
    ) -> CustomerNameResult:
        """Ask for a number's name; as `MpesaClient.query_customer_name`."""
        request = self.prepare(
            "query_customer_name", msisdn=msisdn, third_party_reference=third_party_reference
        )
        return cast("CustomerNameResult", await self.send(request))

    async def call(self, context: CallContext) -> Result:
        """Call any path of the gateway; as `MpesaClient.call`."""
        return await self._run(self._exchange_of(context), Sending())

    async def send(self, request: PreparedRequest, *, sending: Sending | None = None) -> Result:
        """Send a prepared request; as `MpesaClient.send`.

        Args:
            request: as `prepare` gives it.
            sending: says, where the call is cancelled, whether a byte may have left.
        """
        return await self._run(self._exchange(request), sending or Sending())

    async def _run(self, exchange: LoggedExchange, sending: Sending) -> Result:
        started = time.monotonic()
        try:
            while not exchange.finished:
                sending.begun = False
                if exchange.pause:
                    await asyncio.sleep(exchange.pause)
                sending.begun = True  # until the transport says otherwise
                answer: Answer
                try:
                    exchange.request.refuse_if_late()
                    answer = await self._transport.send(exchange.request, sending)
                except (NotConnected, NoAnswer) as failure:
                    answer = failure
                exchange.receive(answer, time.monotonic() - started)
        except asyncio.CancelledError:
            exchange.cancelled(time.monotonic() - started, begun=sending.begun)
            raise
        return exchange.result()


def _own_transport() -> AsyncTransport:
    try:
        from .aiohttp_transport import AiohttpTransport
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise ConfigurationError(
            "AsyncMpesaClient needs aiohttp: pip install 'mpesa-integrations[async]'"
        ) from None
    return AiohttpTransport()
