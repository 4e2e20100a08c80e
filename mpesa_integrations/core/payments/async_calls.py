"""The calls of `calls` that ask the gateway, to be awaited; those of the store alone are there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic

from ..protocol.results import CustomerNameResult, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.account import Send
from .async_sending import AsyncSender
from .keys import Key
from .queued import Queue
from .records import C, R
from .reversals import Reversals
from .sending import Sender


@forgetful_calls
class AsyncCalls(Generic[R, C]):
    """One account's recorded payments, awaited: `ac2b` is `c2b`'s twin, and so on.

    Each takes, gives, records and raises what its twin does, and holds no thread while the gateway
    is waited for. A task may be cancelled at any time, as where a customer's browser goes away:
    once a byte may have left, the payment is recorded as unknown, and `reconcile` asks what became
    of it; before that, as failed, since nothing was sent. One that is queued stays so. Then the
    cancellation goes on.

    Needs the extra `async`, unless the account has a transport of its own.

    Raises:
        ConfigurationError: the extra is not installed; nothing was recorded.
    """

    _sender: Sender[R, C]
    _queue: Queue[R, C]
    _reversals: Reversals[R, C]
    _async_sender: AsyncSender[R, C]

    async def ac2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Take a payment from a customer; as `c2b`, to be awaited."""
        return await self._async_sender.pay(
            lambda: self._sender.begin_payment(
                "c2b",
                {"msisdn": msisdn, "amount": amount, "reference": reference},
                third_party_reference,
                idempotency_key,
                extra,
                order=order,
                again=again,
                send=send,
            )
        )

    async def ab2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Pay out to a customer; as `b2c`, to be awaited."""
        return await self._async_sender.pay(
            lambda: self._sender.begin_payment(
                "b2c",
                {"msisdn": msisdn, "amount": amount, "reference": reference},
                third_party_reference,
                idempotency_key,
                extra,
                order=order,
                again=again,
                send=send,
            )
        )

    async def ab2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str | int | None = None,
        order: Any = None,
        again: bool = False,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Pay another business; as `b2b`, to be awaited."""
        columns = {
            "receiver_shortcode": receiver_shortcode,
            "amount": amount,
            "reference": reference,
        }
        return await self._async_sender.pay(
            lambda: self._sender.begin_payment(
                "b2b",
                columns,
                third_party_reference,
                idempotency_key,
                extra,
                order=order,
                again=again,
                send=send,
            )
        )

    async def areverse(
        self,
        payment: R | None = None,
        amount: str | int | Decimal | None = None,
        *,
        transaction_id: str | None = None,
        third_party_reference: str | int | None = None,
        idempotency_key: Key | None = None,
        send: Send | None = None,
        **extra: Any,
    ) -> R:
        """Give a recorded payment's money back; as `reverse`, to be awaited."""
        return await self._async_sender.pay(
            lambda: self._reversals.begin(
                payment,
                transaction_id,
                amount,
                third_party_reference=third_party_reference,
                idempotency_key=idempotency_key,
                extra=extra,
                queued=self._queue.is_for(send),
            )
        )

    async def acheck(self, record: R) -> R:
        """Ask the gateway what became of a payment; as `check`, to be awaited."""
        return await self._async_sender.check(record)

    async def aquery_transaction_status(self, *, query_reference: str) -> TransactionStatusResult:
        """Ask where any transaction stands; as `query_transaction_status`, to be awaited."""
        client = await self._async_sender.clients.of_running_loop()
        return await client.query_transaction_status(query_reference=query_reference)

    async def aquery_customer_name(self, *, msisdn: str) -> CustomerNameResult:
        """Ask for a customer's name; as `query_customer_name`, to be awaited."""
        client = await self._async_sender.clients.of_running_loop()
        return await client.query_customer_name(msisdn=msisdn)
