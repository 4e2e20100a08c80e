"""The gateway's operations as one table of data; what is done with a row is the client's.

docs/protocol.md, "Call context".
"""

from __future__ import annotations

from dataclasses import dataclass

from .results import CustomerNameResult, Result, TransactionStatusResult
from .schemas import (
    AnswerSchema,
    B2BRequestSchema,
    CustomerNameAnswerSchema,
    PaymentRequestSchema,
    QueryCustomerNameRequestSchema,
    QueryTransactionStatusRequestSchema,
    RequestSchema,
    ReversalRequestSchema,
    TransactionStatusAnswerSchema,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One row: how an operation is called, checked and read, and whether it moves money."""

    name: str
    method: str
    port: int
    path: str
    request_schema: type[RequestSchema]
    answer_schema: type[AnswerSchema] = AnswerSchema
    result_type: type[Result] = Result
    moves_money: bool = True


C2B = Operation(
    name="c2b",
    method="POST",
    port=18352,
    path="/ipg/v1x/c2bPayment/singleStage/",
    request_schema=PaymentRequestSchema,
)
B2C = Operation(
    name="b2c",
    method="POST",
    port=18345,
    path="/ipg/v1x/b2cPayment/",
    request_schema=PaymentRequestSchema,
)
B2B = Operation(
    name="b2b",
    method="POST",
    port=18349,
    path="/ipg/v1x/b2bPayment/",
    request_schema=B2BRequestSchema,
)
REVERSAL = Operation(
    name="reversal",
    method="PUT",
    port=18354,
    path="/ipg/v1x/reversal/",
    request_schema=ReversalRequestSchema,
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
)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (C2B, B2C, B2B, REVERSAL, QUERY_TRANSACTION_STATUS, QUERY_CUSTOMER_NAME)
}
