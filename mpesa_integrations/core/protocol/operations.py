"""What an operation of a gateway is: one row of a market's table of operations.

The rows themselves are the markets'; what is done with one is in `requests` and `outcomes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codes import GatewayCode
from .results import Result
from .schemas import AnswerSchema, RequestSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """How an operation is called, checked and read, and whether it moves money.

    Attributes:
        name: the name of the client's method, as `c2b`.
        method: `GET`, `POST` or `PUT`.
        port: the documented port.
        path: the path, beginning with `/`.
        request_schema: checks the arguments and names the gateway's parameters.
        answer_schema: reads the answer.
        result_type: what a call gives back.
        moves_money: whether a request that may have arrived must never be sent again.
        absent_in_sandbox: the code with which the sandbox refuses an operation that it has not;
            None where the sandbox has it.
    """

    name: str
    method: str
    port: int
    path: str
    request_schema: type[RequestSchema]
    answer_schema: type[AnswerSchema]
    result_type: type[Result] = Result
    moves_money: bool = True
    absent_in_sandbox: GatewayCode | None = None
