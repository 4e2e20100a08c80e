"""An HTTP request and its answer as plain values, and the two ways in which there may be no answer.

Nothing is sent here. `Transport` says what the client needs of an HTTP library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class NotConnected(Exception):  # noqa: N818
    """No connection came about, so surely no byte of the request has left.

    Attributes:
        retryable: False where trying again cannot help, as with an untrusted certificate.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class NoAnswer(Exception):  # noqa: N818
    """The request may have reached the gateway, and no whole answer came back."""


@dataclass(frozen=True, slots=True, repr=False)
class HttpRequest:
    """What is to be sent. Headers, body and query hold secrets, so `repr` leaves them out.

    Attributes:
        timeout: seconds to connect, and to wait for the answer.
        verify: True, False or the path of a CA bundle.
        proxy: the URL of a proxy on the way out, with its user and password where it wants them;
            None means there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: tuple[float, float]
    verify: bool | str
    proxy: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.url.partition('?')[0]}>"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back: the HTTP status and the body's bytes."""

    status: int
    body: bytes = field(repr=False)


class Transport(Protocol):
    """What the client needs of an HTTP library; safe to be called from many threads."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request once, following no redirect and reading no environment.

        Raises:
            NotConnected: only when surely no byte of the request has left.
            NoAnswer: whenever that is not sure and no answer was read.
        """

    def close(self) -> None:
        """Close the connections."""
