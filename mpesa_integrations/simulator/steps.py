"""What a call waits for, apart from how it is waited for.

The work of a call is a generator: it yields what it waits for and is sent what came of it. The
event loop in `background` drives it with no thread, and `in_process` with no waiting.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from .phones import Phones
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
        phones: where the prompt is shown.
    """

    transaction: Transaction
    phones: Phones


@dataclass(frozen=True, slots=True)
class UntilDone:
    """Other work has to end first.

    Attributes:
        work: that work.
    """

    work: Future[None]


Step = Pause | AskCustomer | UntilDone
Steps = Generator[Step, "str | None", Done]


@dataclass(frozen=True, slots=True)
class Ended(Generic[Done]):
    """The work is done, and waits for nothing more.

    Attributes:
        done: what it returned.
    """

    done: Done


def advance(steps: Steps[Done], came: str | None) -> Step | Ended[Done]:
    """Carry work on to what it waits for next.

    Args:
        came: the response code that the last step was to bring, None at first and after others.
    """
    try:
        return steps.send(came)
    except StopIteration as end:
        return Ended(end.value)
