"""Durable handlers: what an application wants done of an event, known by a name.

The name stands in the outbox row, so that any process that has registered the handler can run it.
How they are run, and tried again, is in `handler_runs`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .application_calls import AsSync, call_to_its_end
from .events import Event

H = TypeVar("H", bound=Callable[..., Any])
LONGEST_NAME = 200
"""Characters that a row has for a handler's name."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler of one event.

    Attributes:
        event: of which it is run.
        name: by which the outbox row knows it.
        function: what the application registered.
        takes_event_id: whether it is called with `event_id`, too.
    """

    event: Event
    name: str
    function: Callable[..., Any]
    takes_event_id: bool


class Handlers:
    """An application's durable handlers.

    Args:
        as_sync: runs those that are coroutine functions; None where there are no such handlers.
    """

    def __init__(self, as_sync: AsSync | None = None) -> None:
        self._as_sync = as_sync
        self._handlers: dict[tuple[str, str], Handler] = {}

    def register(self, signal: object, *, name: str | None) -> Callable[[H], H]:
        """What registers a function, and gives it back; see `Accounts.handler`."""
        event = _event_of(signal)

        def decorate(function: H) -> H:
            found = name if name is not None else _name_of(function)
            if not (0 < len(found) <= LONGEST_NAME and found.isascii() and found.isprintable()):
                # Every database can keep that: a name that it could not would be in the way of
                # each payment's outcome.
                raise ValueError(
                    f"a handler's name has 1 to {LONGEST_NAME} characters of ASCII, not {found!r}: "
                    "give it one, as in @mpesa.handler(payment_completed, name='shop.ship')"
                )
            made = Handler(event, found, function, _takes_event_id(function))
            known = self._handlers.get((event.value, found))
            if known is not None and _place(known.function) != _place(function):
                raise ValueError(f"{found!r} is the name of another handler of {event.value}")
            self._handlers[event.value, found] = made
            return function

        return decorate

    def of(self, event: Event) -> list[Handler]:
        """The handlers of an event, the first to be registered first."""
        return [handler for handler in list(self._handlers.values()) if handler.event is event]

    def find(self, event: str, name: str) -> Handler | None:
        """The handler that an outbox row means; None where it is not registered in this process.

        Args:
            event: the event's value.
            name: the handler's.
        """
        return self._handlers.get((event, name))

    def known(self) -> list[tuple[str, str]]:
        """The events and names that an outbox row may have for a handler of this process."""
        return list(self._handlers)

    def call(self, handler: Handler, record: object, event_id: str) -> None:
        """Call a handler, and wait for the end of what it gives to be awaited.

        Raises:
            TypeError: it gives that where nothing awaits it.
            Exception: what the handler raised.
        """
        arguments = {"event_id": event_id} if handler.takes_event_id else {}
        call_to_its_end(handler.function, self._as_sync, record, **arguments)


def _event_of(signal: object) -> Event:
    name = signal if isinstance(signal, str) else getattr(signal, "name", signal)
    try:
        return Event(name)
    except ValueError:
        known = ", ".join(event.value for event in Event)
        raise ValueError(
            f"{name!r} is no event of a payment that a handler can have; there are {known}"
        ) from None


def _place(function: Callable[..., Any]) -> tuple[object, object]:
    """Where a function is defined: the same where a module was loaded anew, or a factory called."""
    return _module_of(function), getattr(function, "__qualname__", None)


def _name_of(function: Callable[..., Any]) -> str:
    qualified = getattr(function, "__qualname__", None)
    module = _module_of(function)
    if qualified is None or module is None or "<lambda>" in qualified:
        raise TypeError(
            f"{function!r} has no name of its own by which another process could know it: "
            "give it one, as in @mpesa.handler(payment_completed, name='shop.ship')"
        )
    return f"{module}.{qualified}"


def _module_of(function: Callable[..., Any]) -> str | None:
    """The module that a function is in; of the main script, what a worker imports it as."""
    module: str | None = getattr(function, "__module__", None)
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def _takes_event_id(function: Callable[..., Any]) -> bool:
    """Whether it takes the event's ID beside the payment.

    Raises:
        TypeError: it cannot be called with the payment alone, nor with both.
    """
    signature = inspect.signature(function)
    takes = "event_id" in signature.parameters
    try:
        signature.bind(object(), **({"event_id": ""} if takes else {}))
    except TypeError as error:
        raise TypeError(
            f"A handler is called as handler(payment) or handler(payment, event_id=...), which "
            f"{function!r} cannot be: {error}"
        ) from None
    return takes
