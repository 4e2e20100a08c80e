"""A request and its answer as values, whatever listener takes the one and gives the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived.

    Attributes:
        address: what it was sent to, as the caller wrote it: `https://HOST:PORT`.
        port: the port it arrived at.
        query: the query string's parameters.
        headers: by their names in lower case.
    """

    method: str
    address: str
    port: int
    path: str
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        location: the header of that name, of a redirect.
        cut: whether the connection is cut in place of it.
        conversation_id: of the payment that the call began or asked about, whatever the caller is
            told of it; empty where there is none. It is for the journal and is not sent.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    location: str | None = None
    cut: bool = False
    conversation_id: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its JSON object; none where it is cut, or something else."""
        try:
            found = {} if self.cut else json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
