"""The blocking client: a method per operation, bytes over a transport, and sleep between attempts.

What is sent and what an answer means is `protocol`'s; records and signals are `payments`'s.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import cast

from ..protocol.http import NoAnswer, NotConnected, Transport
from ..protocol.outcomes import Answer
from ..protocol.requests import CallContext, PreparedRequest
from ..protocol.results import CustomerNameResult, Result, TransactionStatusResult
from ..redaction import forgetful_calls
from ..settings.client import MpesaConfig
from .attempts import LoggedExchange
from .base import BaseClient
from .transport import RequestsTransport


@forgetful_calls
class MpesaClient(BaseClient):
    """A client of the M-Pesa gateway, to be made once per account and shared by all threads.

    A call returns when the gateway said yes: `result.kind` is `Kind.SUCCESS`, or `Kind.ACCEPTED`
    for an account in asynchronous mode, whose result comes by callback. Every other outcome raises
    an `MpesaError` that carries the result. `OutcomeUnknown` means that money may have moved.

    Args:
        config: the settings, or a function that returns the current ones (asked at each call, so
            that a renewed API key is used from the next call on).
        transport: another way to send bytes; requests over pooled connections when left out.
    """

    def __init__(
        self,
        config: MpesaConfig | Callable[[], MpesaConfig],
        *,
        transport: Transport | None = None,
    ) -> None:
        super().__init__(config)
        self._transport: Transport = transport or self._own_transport()

    def _own_transport(self) -> RequestsTransport:
        """One that is closed once nobody has the client, and so no call is under way."""
        made = RequestsTransport()
        weakref.finalize(self, made.close).atexit = False
        return made

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def __enter__(self) -> MpesaClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def c2b(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Take a payment from a customer, who confirms it with the PIN on the phone.

        Args:
            msisdn: the customer's number, as typed (`84 123 4567`) or normalised.
            amount: meticais with at most 2 decimals; never a float.
            reference: what the customer and the statement see, 1 to 20 characters, or a whole
                number.
            third_party_reference: 1 to 20 letters and digits, unique per request; made if left out.

        Returns:
            The result, of kind success (with a transaction ID) or accepted (result by callback).

        Raises:
            ValidationError: an argument is wrong; nothing moved.
            PaymentDeclined: failed or cancelled; nothing moved.
            AuthenticationError: the credentials were refused; nothing moved.
            DuplicateTransaction: the third-party reference was used before, by another request.
            GatewayUnavailable: surely not accepted; safe to try again.
            OutcomeUnknown: may have been accepted; query it, never send it again.

        Source: docs/protocol.md, "Call context".
        """
        return self.send(
            self.prepare(
                "c2b",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def b2c(
        self,
        *,
        msisdn: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay out to a customer. Arguments, result and errors as for `c2b`."""
        return self.send(
            self.prepare(
                "b2c",
                msisdn=msisdn,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def b2b(
        self,
        *,
        receiver_shortcode: str,
        amount: str | int | Decimal,
        reference: str | int,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Pay another business.

        Args:
            receiver_shortcode: the other business's shortcode, 5 or 6 digits.
            amount: as for `c2b`.
            reference: as for `c2b`.
            third_party_reference: as for `c2b`.

        Returns and raises as `c2b` does.
        """
        return self.send(
            self.prepare(
                "b2b",
                receiver_shortcode=receiver_shortcode,
                amount=amount,
                reference=reference,
                third_party_reference=third_party_reference,
            )
        )

    def reverse(
        self,
        *,
        transaction_id: str,
        amount: str | int | Decimal | None = None,
        third_party_reference: str | int | None = None,
    ) -> Result:
        """Give a transaction's money back, the whole of it or a part.

        Args:
            transaction_id: the transaction to reverse, as `4XDF12345`.
            amount: meticais to give back; None means all.
            third_party_reference: of this reversal, not of the payment; made if left out.

        Returns and raises as `c2b` does, and:

        Raises:
            ConfigurationError: `initiator_identifier` or `security_credential` is not configured.
        """
        return self.send(
            self.prepare(
                "reversal",
                transaction_id=transaction_id,
                amount=amount,
                third_party_reference=third_party_reference,
            )
        )

    def query_transaction_status(
        self, *, query_reference: str, third_party_reference: str | None = None
    ) -> TransactionStatusResult:
        """Ask where a transaction stands.

        Args:
            query_reference: its transaction ID, conversation ID or third-party reference.
            third_party_reference: of this query itself; made if left out.

        Returns:
            A result whose `transaction_status` tells; None there means the gateway said `N/A`.

        Raises:
            ValidationError: an argument is wrong.
            AuthenticationError: the credentials were refused.
            GatewayUnavailable: no readable answer; safe to ask again.
        """
        request = self.prepare(
            "query_transaction_status",
            query_reference=query_reference,
            third_party_reference=third_party_reference,
        )
        return cast("TransactionStatusResult", self.send(request))

    def query_customer_name(
        self, *, msisdn: str, third_party_reference: str | None = None
    ) -> CustomerNameResult:
        """Ask for the name a phone number is registered under, partly masked by the gateway.

        Args:
            msisdn: the customer's number, as typed or normalised.
            third_party_reference: of this query itself; made if left out.

        Raises as `query_transaction_status` does.
        """
        request = self.prepare(
            "query_customer_name", msisdn=msisdn, third_party_reference=third_party_reference
        )
        return cast("CustomerNameResult", self.send(request))

    def call(self, context: CallContext) -> Result:
        """Call any path of the gateway, also one this library has no method for.

        Args:
            context: the call, as the gateway's documentation describes one.

        Returns and raises as the named methods do, by the code of the answer.

        Raises:
            ConfigurationError: the context cannot be called as it stands.
        """
        return self._run(self._exchange_of(context))

    def send(self, request: PreparedRequest) -> Result:
        """Send a prepared request; returns and raises as the method that it was prepared for.

        Sent at most once, except that a request which surely was not accepted (no connection came
        about, or `INS-16`) is sent again up to `config.retries` times.
        """
        return self._run(self._exchange(request))

    def _run(self, exchange: LoggedExchange) -> Result:
        started = time.monotonic()
        while not exchange.finished:
            if exchange.pause:
                time.sleep(exchange.pause)
            answer: Answer
            try:
                exchange.request.refuse_if_late()
                answer = self._transport.send(exchange.request)
            except (NotConnected, NoAnswer) as failure:
                answer = failure
            exchange.receive(answer, time.monotonic() - started)
        return exchange.result()
