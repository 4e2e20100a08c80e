"""What came of an order: its attempts at being paid, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic

from .customer_messages import customer_message
from .lifecycle import MONEY_MOVED_STATES, State
from .orders import attempt_that_stands, paid_attempt
from .records import R


@dataclass(frozen=True, kw_only=True)
class OrderAttempts(Generic[R]):
    """An order's payments as they were when they were read; amounts are meticais.

    Attributes:
        key: by which they were found; "" of an order that was not saved.
        attempts: what was sent to collect money, the oldest first.
    """

    key: str
    attempts: Sequence[R]

    @property
    def payment(self) -> R | None:
        """The attempt that stands: open or paid, else contradicted, else the newest; or None."""
        return attempt_that_stands(self.attempts)

    @property
    def state(self) -> State | None:
        """The state of the attempt that stands; None where nothing was ever sent."""
        return None if self.payment is None else State(self.payment.state)

    @property
    def paid(self) -> R | None:
        """The payment whose money, or a part of it, is with the shop; or None."""
        return paid_attempt(self.attempts)

    @property
    def is_paid(self) -> bool:
        """Whether there is such a payment."""
        return self.paid is not None

    @property
    def amount_paid(self) -> Decimal:
        """What was taken from the customer, also where some of it was given back since."""
        taken = (a.amount for a in self.attempts if State(a.state) in MONEY_MOVED_STATES)
        return sum(taken, Decimal(0))

    @property
    def amount_reversed(self) -> Decimal:
        """What was given back."""
        return sum((attempt.reversed_amount for attempt in self.attempts), Decimal(0))

    @property
    def reversal_pending(self) -> Decimal:
        """What is being given back, and not known yet to be."""
        return sum((attempt.reversal_pending for attempt in self.attempts), Decimal(0))

    def customer_message(self, language: str | None = "en") -> str:
        """What to tell the customer of the attempt that stands; "" where nothing was ever sent.

        Args:
            language: as `pt` or `pt-MZ`; one that there are no words in, or None, gives English.
        """
        payment = self.payment
        return "" if payment is None else customer_message(payment).in_language(language)
