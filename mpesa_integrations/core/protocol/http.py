"""An HTTP request and its answer as plain values, and the two ways in which there may be no answer.

Nothing is sent here. `Transport` and `AsyncTransport` say what the clients need of an HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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


class TooLate(NotConnected):
    """The time for a request was over before a byte of it left, so surely none has."""

    def __init__(self) -> None:
        super().__init__("its time was over before it could be sent", retryable=False)


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
        time_left: seconds until no byte of it may leave any more, asked as it is sent; None means
            that there is no such time.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: tuple[float, float]
    verify: bool | str
    proxy: str | None = field(default=None, repr=False)
    time_left: Callable[[], float] | None = field(default=None, compare=False)

    def refuse_if_late(self) -> None:
        """To be called right before the first byte may leave.

        Raises:
            TooLate: no byte of it may leave any more.
        """
        if self.time_left is not None and self.time_left() <= 0:
            raise TooLate

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


class Sending:
    """What an asynchronous transport says of a request while it sends it; a cancelled call asks.

    Attributes:
        begun: whether a byte of the request may have left. True until the transport says otherwise,
            so that of a transport which says nothing nothing is assumed.
    """

    def __init__(self) -> None:
        self.begun = True


class AsyncTransport(Protocol):
    """What the asynchronous client needs of an HTTP library."""

    async def send(self, request: HttpRequest, sending: Sending) -> HttpResponse:
        """Send a request once, as `Transport.send` does and raising the same.

        Args:
            request: what is to be sent.
            sending: `begun` is to be set to False at first, and to True before the first byte of
                the request can leave.
        """

    async def aclose(self) -> None:
        """Close the connections."""
