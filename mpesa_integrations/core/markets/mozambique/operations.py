"""The operations of Vodacom Mozambique's gateway: what is sent, where to, and what comes back.

docs/protocol.md, "Call context".
"""

from __future__ import annotations

from collections.abc import Mapping

from marshmallow import fields

from ...messages import Message
from ...protocol.operations import Operation
from ...protocol.results import CustomerNameResult, TransactionStatusResult
from ...protocol.schemas import (
    GATEWAY_ID,
    Amount,
    AnswerSchema,
    CallbackSchema,
    LenientText,
    Msisdn,
    PatternText,
    RequestSchema,
    transaction_reference,
)
from .codes import ResponseCode

SHORTCODE = r"[0-9]{5,6}"
"""What a business's shortcode is, as a regular expression."""


def _shortcode() -> PatternText:
    return PatternText(SHORTCODE, Message("must be a shortcode of 5 or 6 digits"), required=True)


def _amount(*, required: bool = True) -> Amount:
    rule = Message(
        "must be a positive number of meticais with at most 2 decimals, as in 150 or 99.50, "
        "and less than 1000000000000"
    )
    return Amount(rule, required=required)


class PaymentRequestSchema(RequestSchema):
    """C2B and B2C: between a customer's phone and the business."""

    wire: Mapping[str, str] = {
        "reference": "input_TransactionReference",
        "msisdn": "input_CustomerMSISDN",
        "amount": "input_Amount",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_ServiceProviderCode",
    }
    reference: PatternText = transaction_reference()
    msisdn: Msisdn = Msisdn(required=True)
    amount: Amount = _amount()
    service_provider_code: PatternText = _shortcode()


class B2BRequestSchema(RequestSchema):
    """B2B: from one business's shortcode to another's."""

    wire: Mapping[str, str] = {
        "reference": "input_TransactionReference",
        "amount": "input_Amount",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_PrimaryPartyCode",
        "receiver_shortcode": "input_ReceiverPartyCode",
    }
    reference: PatternText = transaction_reference()
    amount: Amount = _amount()
    service_provider_code: PatternText = _shortcode()
    receiver_shortcode: PatternText = _shortcode()


class ReversalRequestSchema(RequestSchema):
    """Reversal of a transaction, whole or in part."""

    wire: Mapping[str, str] = {
        "transaction_id": "input_TransactionID",
        "security_credential": "input_SecurityCredential",
        "initiator_identifier": "input_InitiatorIdentifier",
        "third_party_reference": "input_ThirdPartyReference",
        "service_provider_code": "input_ServiceProviderCode",
        "amount": "input_ReversalAmount",
    }
    transaction_id: PatternText = PatternText(
        GATEWAY_ID, Message("must be a transaction ID, as in 4XDF12345"), required=True
    )
    security_credential: fields.String = fields.String(required=True)
    initiator_identifier: fields.String = fields.String(required=True)
    service_provider_code: PatternText = _shortcode()
    amount: Amount = _amount(required=False)


class QueryTransactionStatusRequestSchema(RequestSchema):
    """Query transaction status, by any of the three identifiers."""

    wire: Mapping[str, str] = {
        "query_reference": "input_QueryReference",
        "service_provider_code": "input_ServiceProviderCode",
        "third_party_reference": "input_ThirdPartyReference",
    }
    query_reference: PatternText = PatternText(
        GATEWAY_ID,
        Message("must be a transaction ID, a conversation ID or a third-party reference"),
        required=True,
    )
    service_provider_code: PatternText = _shortcode()


class QueryCustomerNameRequestSchema(RequestSchema):
    """Query the name a phone number is registered under."""

    wire: Mapping[str, str] = {
        "msisdn": "input_CustomerMSISDN",
        "service_provider_code": "input_ServiceProviderCode",
        "third_party_reference": "input_ThirdPartyReference",
    }
    msisdn: Msisdn = Msisdn(required=True)
    service_provider_code: PatternText = _shortcode()


class PaymentAnswerSchema(AnswerSchema):
    """An answer that says no more than every answer does."""

    third_party_reference: LenientText = LenientText("output_ThirdPartyReference")


class TransactionStatusAnswerSchema(PaymentAnswerSchema):
    """A status query's answer."""

    transaction_status: LenientText = LenientText("output_ResponseTransactionStatus")
    # Read where the documented one is missing.
    undocumented_status: LenientText = LenientText("output_TransactionStatus", documented=False)


class CustomerNameAnswerSchema(PaymentAnswerSchema):
    """A customer name query's answer, which names its code and description in two ways."""

    result_code: LenientText = LenientText("output_ResultCode")
    result_description: LenientText = LenientText("output_ResultDesc")
    customer_name: LenientText = LenientText("output_CustomerName")


class PaymentCallbackSchema(CallbackSchema):
    """An asynchronous result; docs/protocol.md, "Answers"."""

    third_party_reference: LenientText = LenientText("input_ThirdPartyReference")


C2B = Operation(
    name="c2b",
    method="POST",
    port=18352,
    path="/ipg/v1x/c2bPayment/singleStage/",
    request_schema=PaymentRequestSchema,
    answer_schema=PaymentAnswerSchema,
)
B2C = Operation(
    name="b2c",
    method="POST",
    port=18345,
    path="/ipg/v1x/b2cPayment/",
    request_schema=PaymentRequestSchema,
    answer_schema=PaymentAnswerSchema,
)
B2B = Operation(
    name="b2b",
    method="POST",
    port=18349,
    path="/ipg/v1x/b2bPayment/",
    request_schema=B2BRequestSchema,
    answer_schema=PaymentAnswerSchema,
)
REVERSAL = Operation(
    name="reversal",
    method="PUT",
    port=18354,
    path="/ipg/v1x/reversal/",
    request_schema=ReversalRequestSchema,
    answer_schema=PaymentAnswerSchema,
)
QUERY_TRANSACTION_STATUS = Operation(
    name="query_transaction_status",
    method="GET",
    port=18353,
    path="/ipg/v1x/queryTransactionStatus/",
    request_schema=QueryTransactionStatusRequestSchema,
    answer_schema=TransactionStatusAnswerSchema,
    result_type=TransactionStatusResult,
    moves_money=False,
)
QUERY_CUSTOMER_NAME = Operation(
    name="query_customer_name",
    method="GET",
    port=19323,
    path="/ipg/v1x/queryCustomerName/",
    request_schema=QueryCustomerNameRequestSchema,
    answer_schema=CustomerNameAnswerSchema,
    result_type=CustomerNameResult,
    moves_money=False,
    absent_in_sandbox=ResponseCode.NOT_AUTHORIZED,
)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (C2B, B2C, B2B, REVERSAL, QUERY_TRANSACTION_STATUS, QUERY_CUSTOMER_NAME)
}
