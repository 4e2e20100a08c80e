"""The customers' phones: PIN prompts that a person answers where automatic approval is off."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .transactions import Transaction

PIN_TIMEOUT = 60.0
"""Seconds that a customer has to answer a PIN prompt."""
MOST_WAITING = 10_000
"""Prompts that may wait at a time: each holds a connection, and some memory."""
APPROVED, REFUSED, IGNORED = "INS-0", "INS-5", "INS-9"
"""The codes that end a payment whose prompt was approved, refused, or answered by nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A payment that waits for its customer's PIN.

    Attributes:
        transaction: the payment, pending in the ledger.
        expires_at: when the customer is no longer waited for, aware UTC.
    """

    transaction: Transaction
    expires_at: datetime


class Phones:
    """The PIN prompts of all simulated customers.

    Attributes:
        auto_approve: whether customers approve at once, with nobody asked.
        pin_timeout: seconds until a prompt that nobody answers ends the payment with `INS-9`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, Prompt] = {}
        self._codes: dict[str, Future[str]] = {}
        self._stopped = False
        self.auto_approve: bool = True
        self.pin_timeout: float = PIN_TIMEOUT

    @property
    def waiting(self) -> list[Prompt]:
        """The prompts that nobody has answered yet, oldest first."""
        with self._changed:
            return list(self._waiting.values())

    def is_asked(self, conversation_id: str) -> bool:
        """Whether a payment's customer has been asked and has not answered yet."""
        with self._changed:
            return conversation_id in self._waiting

    @property
    def crowded(self) -> bool:
        """Whether no further prompt may be shown."""
        return len(self._waiting) >= MOST_WAITING

    def show(self, transaction: Transaction) -> Future[str]:
        """Show a prompt. Whoever does calls `expire` when `pin_timeout` seconds are over.

        Returns:
            What is to come: the code to settle the payment with, `INS-0` approved, `INS-5` refused,
            `INS-9` ignored.
        """
        code: Future[str] = Future()
        code.set_running_or_notify_cancel()  # who no longer waits for it does not take it away
        expires_at = datetime.now(timezone.utc) + timedelta(seconds=self.pin_timeout)
        with self._changed:
            if self._stopped:
                code.set_result(IGNORED)
                return code
            key = transaction.conversation_id
            self._waiting[key] = Prompt(transaction=transaction, expires_at=expires_at)
            self._codes[key] = code
            self._changed.notify_all()
        return code

    def expire(self, conversation_id: str) -> None:
        """End a prompt as ignored, unless it was answered just before."""
        self._end(conversation_id, IGNORED)

    def approve(self, conversation_id: str) -> None:
        """Type the right PIN.

        Raises:
            LookupError: no such payment waits; it may have been answered or run out.
        """
        self._answer(conversation_id, APPROVED)

    def refuse(self, conversation_id: str) -> None:
        """Refuse to pay. Raises as `approve`."""
        self._answer(conversation_id, REFUSED)

    def wait(self, third_party_reference: str, timeout: float = 30.0) -> Prompt:
        """Wait until a payment asks for its PIN.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """

        def found() -> Prompt | None:
            prompts = self._waiting.values()
            return next(
                (
                    p
                    for p in prompts
                    if p.transaction.third_party_reference == third_party_reference
                ),
                None,
            )

        with self._changed:
            prompt = self._changed.wait_for(found, timeout)
        if prompt is None:
            raise TimeoutError(f"No PIN prompt for {third_party_reference}")
        return prompt

    def reset(self) -> None:
        """Approve automatically again, with the usual timeout; what waits ends as ignored."""
        self.auto_approve = True
        self.pin_timeout = PIN_TIMEOUT
        self._release()

    def stop(self) -> None:
        """End what waits as ignored, and ask nobody any more."""
        with self._changed:
            self._stopped = True
        self._release()

    def _answer(self, conversation_id: str, code: str) -> None:
        if not self._end(conversation_id, code):
            raise LookupError("No payment with this conversation ID waits for a PIN")

    def _end(self, conversation_id: str, code: str) -> bool:
        """End a prompt, once: the first answer stands. Gives whether this one did."""
        with self._changed:
            if self._waiting.pop(conversation_id, None) is None:
                return False
            self._codes.pop(conversation_id).set_result(code)
            return True

    def _release(self) -> None:
        for prompt in self.waiting:
            self.expire(prompt.transaction.conversation_id)
