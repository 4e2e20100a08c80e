"""Outbox entries: what is read and written of them within a transaction that somebody else opens.

They are events that are still to be dispatched, each written with the change that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from mpesa_integrations.core.payments.records import OutboxEntry
from mpesa_integrations.core.payments.schedule import DISPATCH_GRACE

from .claims import claim
from .models import Models


class OutboxRows:
    """One account's outbox.

    Args:
        account: its alias.
        models: the app's.
    """

    def __init__(self, account: str, models: Models) -> None:
        self._account = account
        self.model: Any = models.outbox

    def add(self, session: Session, entries: Sequence[OutboxEntry], payment_key: Any) -> None:
        """Add entries about a payment, due if nobody has dispatched them after a while."""
        for entry in entries:
            session.add(
                self.model(
                    id=entry.id,
                    account=self._account,
                    event=entry.event.value,
                    transaction_key=payment_key,
                    due_at=datetime.now(timezone.utc) + DISPATCH_GRACE,
                )
            )

    def claim_due(self, session: Session, now: datetime, until: datetime, limit: int) -> list[Any]:
        """Claim the entries that are due, and count it; their keys."""
        model = self.model
        due = select(model).where(model.account == self._account, model.due_at <= now)
        return claim(session, due, model.due_at, until, limit, counted=True)

    def defer(self, session: Session, ids: Sequence[str], until: datetime) -> None:
        """Set when entries are due."""
        session.execute(update(self.model).where(self.model.id.in_(ids)).values(due_at=until))

    def settle(self, session: Session, ids: Sequence[str]) -> None:
        """Delete entries, which were dispatched."""
        session.execute(delete(self.model).where(self.model.id.in_(ids)))
