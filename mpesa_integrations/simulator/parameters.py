"""A request's parameters, read as the gateway reads them. What is wrong in them is for `checks`."""

from __future__ import annotations

import json
import re
from typing import Any

from .endpoints import Endpoint
from .exchange import Request

AMOUNTS = ("input_Amount", "input_ReversalAmount")
"""The parameters that may be JSON numbers; the others are texts."""

# A text that JSON can write and no database takes.
_HALF_A_CHARACTER = re.compile(r"[\ud800-\udfff]")

Parameters = dict[str, str]


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """A request is answered with a code instead of being carried out.

    Attributes:
        code: that code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Number(str):
    """A number of a JSON body, as it was written."""

    __slots__ = ()


def read_parameters(endpoint: Endpoint, request: Request) -> Parameters:
    """The parameters that an operation has, as text.

    Raises:
        Refused: the body is no JSON object, or one of them is not text. An amount may be a number.
    """
    if endpoint.method == "GET":
        return dict(request.query)
    try:
        sent = json.loads(
            request.body, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        raise Refused("INS-21") from None
    if not isinstance(sent, dict):
        raise Refused("INS-21")
    known = {name: sent[name] for name in endpoint.required + endpoint.optional if name in sent}
    for name, value in known.items():
        if not isinstance(value, str) or _HALF_A_CHARACTER.search(value):
            raise Refused("INS-21")
        if isinstance(value, _Number) and name not in AMOUNTS:
            raise Refused("INS-21")
    return known


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
