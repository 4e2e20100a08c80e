"""Stored callbacks: what is read and written of them within a transaction that is opened elsewhere.

What a callback means for its payment is decided in core.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from ..core.payments.records import Verdict
from .claims import claim
from .models import CallbackLogMixin, Models, as_attributes
from .sessions import read, wake_workers

_WAITING = (Verdict.RECEIVED.value, Verdict.EARLY.value)


class CallbackRows:
    """One account's callbacks.

    Args:
        account: its alias.
        models: the app's.
    """

    def __init__(self, account: str, models: Models) -> None:
        self._account = account
        self.model: Any = models.callback_log

    def add(self, session: Session, values: Mapping[str, Any]) -> CallbackLogMixin:
        """Add a callback."""
        entry = self.model(account=self._account, **as_attributes(values))
        session.add(entry)
        if entry.verdict == Verdict.RECEIVED.value:
            wake_workers(session, self._account)
        return cast("CallbackLogMixin", entry)

    def accounts(self, session: Session) -> Sequence[str]:
        """The accounts of all callbacks that nobody has decided."""
        model = self.model
        undecided = select(model.account).where(model.verdict == Verdict.RECEIVED.value).distinct()
        return session.scalars(undecided).all()

    def get(self, session: Session, key: Any) -> CallbackLogMixin:
        """Read a callback by its primary key."""
        found = read(session, select(self.model).where(self.model.id == key))
        return cast("CallbackLogMixin", found.one())

    def update(self, session: Session, keys: Sequence[Any], values: Mapping[str, Any]) -> None:
        """Set columns of callbacks."""
        statement = update(self.model).where(self.model.id.in_(keys))
        session.execute(statement.values(**as_attributes(values)))

    def with_verdict(
        self, session: Session, verdicts: Collection[Verdict], limit: int, key: Any = None
    ) -> list[CallbackLogMixin]:
        """Read callbacks by their verdicts, the newest first; only the one with a key, if given."""
        model = self.model
        names = [verdict.value for verdict in verdicts]
        found = select(model).where(model.account == self._account, model.verdict.in_(names))
        if key is not None:
            found = found.where(model.id == key)
        return list(read(session, found.order_by(model.id.desc()).limit(limit)))

    def waiting_for(self, session: Session, third_party_reference: str) -> list[CallbackLogMixin]:
        """Read a payment's callbacks that are not decided, in the order in which they came."""
        model = self.model
        waiting = select(model).where(
            model.account == self._account,
            model.third_party_reference == third_party_reference,
            model.verdict.in_(_WAITING),
        )
        return list(read(session, waiting.order_by(model.id)))

    def claim_undecided(
        self, session: Session, now: datetime, until: datetime, limit: int, older_than: timedelta
    ) -> list[Any]:
        """Claim callbacks of some age that nobody has decided, and count it; their keys."""
        model = self.model
        due = select(model).where(
            model.account == self._account,
            model.verdict == Verdict.RECEIVED.value,
            model.received_at < now - older_than,
            or_(model.next_attempt_at.is_(None), model.next_attempt_at <= now),
        )
        return claim(
            session, due, model.next_attempt_at, until, limit, by=model.received_at, counted=True
        )
