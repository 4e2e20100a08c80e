"""Outbox entries: what is read and written of them within a transaction that somebody else opens.

They are events that are still to be dispatched, each written with the change that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ..core.payments.records import (
    OutboxEntry,
    UnfinishedHandler,
    in_sequence,
)
from ..core.payments.schedule import DISPATCH_GRACE
from .claims import claim, skips_locked
from .models import Models, in_utc
from .sessions import rows_changed


class OutboxRows:
    """One account's outbox.

    Args:
        account: its alias.
        models: the app's.
    """

    def __init__(self, account: str, models: Models) -> None:
        self._account = account
        self.model: Any = models.outbox
        self._payment: Any = models.transaction

    def add(self, session: Session, entries: Sequence[OutboxEntry], payment_key: Any) -> None:
        """Add entries about a payment, due if nobody has dispatched them after a while."""
        model = self.model

        def greatest() -> int | None:
            places = select(func.max(model.sequence)).where(model.transaction_key == payment_key)
            return session.scalar(places)

        for entry, sequence in in_sequence(entries, greatest):
            session.add(
                self.model(
                    id=entry.id,
                    account=self._account,
                    event=entry.event.value,
                    transaction_key=payment_key,
                    handler=entry.handler,
                    sequence=sequence,
                    due_at=datetime.now(timezone.utc) + DISPATCH_GRACE,
                )
            )

    def accounts(self, session: Session) -> Sequence[str]:
        """The accounts of all entries that are to be dispatched."""
        model = self.model
        waiting = select(model.account).where(model.given_up_at.is_(None)).distinct()
        return session.scalars(waiting).all()

    def claim_due(self, session: Session, now: datetime, until: datetime, limit: int) -> list[Any]:
        """Claim the entries that are due, and count it; their keys."""
        model = self.model
        due = select(model).where(
            model.account == self._account, model.due_at <= now, model.given_up_at.is_(None)
        )
        return claim(session, due, model.due_at, until, limit, counted=True)

    def defer(self, session: Session, ids: Sequence[str], until: datetime) -> None:
        """Set when entries are due."""
        session.execute(update(self.model).where(self.model.id.in_(ids)).values(due_at=until))

    def release(self, session: Session, ids: Sequence[str], until: datetime) -> None:
        """Make due again, with a try less, those that are put off until then still."""
        model = self.model
        statement = update(model).where(model.id.in_(ids), model.due_at == until)
        now = datetime.now(timezone.utc)
        session.execute(statement.values(due_at=now, attempts=model.attempts - 1))

    def change(self, session: Session, entry_id: str, values: Mapping[str, Any]) -> None:
        """Set columns of an entry."""
        session.execute(update(self.model).where(self.model.id == entry_id).values(**values))

    def lock(self, session: Session, entry_id: str) -> Any:
        """Lock an entry; its payment's key, or None where the entry is gone or locked."""
        model = self.model
        key = select(model.transaction_key).where(model.id == entry_id)
        if skips_locked(session, model):
            return session.scalar(key.with_for_update(skip_locked=True))
        # A write that changes nothing locks it in SQLite, too, and waits for who has it.
        meant = update(model).where(model.id == entry_id)
        rows_changed(session, meant.values(due_at=model.due_at))
        return session.scalar(key)

    def unfinished(
        self,
        session: Session,
        *,
        limit: int | None = None,
        payment_key: Any = None,
        entry_id: str | None = None,
    ) -> list[UnfinishedHandler]:
        """Read the handlers' entries with their payments' references, those given up first."""
        model, payment = self.model, self._payment
        found = select(
            model.id, payment.third_party_reference, model.event, model.handler, model.sequence,
            model.attempts, model.problem, model.due_at, model.given_up_at,
        )  # fmt: skip
        found = found.join(payment, payment.id == model.transaction_key)
        found = found.where(model.account == self._account, model.handler != "")
        if payment_key is not None:
            found = found.where(model.transaction_key == payment_key)
        if entry_id is not None:
            found = found.where(model.id == entry_id)
        found = found.order_by(
            model.given_up_at.is_(None), model.given_up_at, model.due_at, model.sequence
        )
        return [
            UnfinishedHandler(
                event_id=row.id,
                reference=row.third_party_reference,
                event=row.event,
                handler=row.handler,
                sequence=row.sequence,
                attempts=row.attempts,
                problem=row.problem,
                next_try_at=in_utc(row.due_at),
                given_up_at=row.given_up_at and in_utc(row.given_up_at),
            )
            for row in session.execute(found.limit(limit))
        ]

    def settle(self, session: Session, ids: Sequence[str]) -> None:
        """Delete entries, which were dispatched."""
        session.execute(delete(self.model).where(self.model.id.in_(ids)))
