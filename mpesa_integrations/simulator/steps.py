"""What a call waits for, apart from how it is waited for.

The work of a call is a generator: it yields what it waits for and is sent what came of it. A thread
drives it with `wait_through`; another listener can drive the same work without one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from .transactions import Transaction

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Pause:
    """Some time has to pass.

    Attributes:
        seconds: how much.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class AskCustomer:
    """A customer has to answer a PIN prompt; what comes of it is a response code.

    Attributes:
        transaction: the payment, pending in the ledger.
    """

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class UntilDone:
    """Other work has to end first.

    Attributes:
        work: that work.
    """

    work: Future[None]


Step = Pause | AskCustomer | UntilDone
Steps = Generator[Step, "str | None", Done]


def wait_through(
    steps: Steps[Done],
    *,
    pause: Callable[[float], object],
    ask: Callable[[Transaction], str],
) -> Done:
    """Carry out work in this thread, which waits wherever the work does.

    Args:
        steps: the work.
        pause: waits for some seconds, or less where the gateway is stopping.
        ask: shows a PIN prompt and waits for the response code that comes of it.

    Returns:
        What the work returns.
    """
    came: str | None = None
    while True:
        try:
            step = steps.send(came)
        except StopIteration as end:
            done: Done = end.value
            return done
        came = None
        if isinstance(step, Pause):
            pause(step.seconds)
        elif isinstance(step, AskCustomer):
            came = ask(step.transaction)
        else:
            step.work.result()
