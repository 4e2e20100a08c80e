"""Core's store over the Django ORM: each transition is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import IntegrityError, router, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from mpesa_integrations.core.errors import DuplicateTransaction
from mpesa_integrations.core.lifecycle import State
from mpesa_integrations.core.payments import Verdict

from .models import AbstractTransaction, CallbackLog


def get_transaction_model() -> type[AbstractTransaction]:
    """The model of payments: MPESA_TRANSACTION_MODEL, or the app's own."""
    model: type[AbstractTransaction] = apps.get_model(
        settings.MPESA_TRANSACTION_MODEL, require_ready=False
    )
    return model


class DjangoStore:
    """One account's payments and callbacks."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._model = get_transaction_model()
        self.alias = router.db_for_write(self._model)
        # Always the database that is written to: a replica may not know yet what was just done.
        self._records: QuerySet[AbstractTransaction] = self._model._base_manager.using(self.alias)
        self._mine: QuerySet[AbstractTransaction] = self._records.filter(account=account)
        self._callbacks: QuerySet[CallbackLog] = CallbackLog._base_manager.using(self.alias)

    def atomic(self) -> AbstractContextManager[Any]:
        """A transaction."""
        return transaction.atomic(using=self.alias)

    def create(self, values: Mapping[str, Any]) -> tuple[AbstractTransaction, bool]:
        """Insert; a taken idempotency key gives the record that has it.

        Raises:
            DuplicateTransaction: the third-party reference is taken.
        """
        record = self._model(account=self._account, **values)
        try:
            with self.atomic():
                record.save(using=self.alias, force_insert=True)
        except IntegrityError:
            key = values.get("idempotency_key")
            found = self.find_by_key(key) if key else None
            if found is not None:
                return found, False
            reference = values["third_party_reference"]
            if self.find(reference) is None:
                raise
            raise DuplicateTransaction(
                f"Nothing was sent. The third-party reference {reference} is on record already; "
                "leave it out to have one made",
                third_party_reference=reference,
            ) from None
        return record, True

    def get(self, record: AbstractTransaction) -> AbstractTransaction:
        """Select by primary key."""
        return self._records.get(pk=record.pk)

    def change(
        self, record: AbstractTransaction, state: State, changes: Mapping[str, Any]
    ) -> AbstractTransaction | None:
        """Update where the state is still the one expected."""
        changed = self._records.filter(pk=record.pk, state=state).update(
            **changes, updated_at=timezone.now()
        )
        return self.get(record) if changed else None

    def note_conflict(self, record: AbstractTransaction, text: str) -> AbstractTransaction | None:
        """Note it where it is not what was noted last."""
        changed = (
            self._records.filter(pk=record.pk)
            .exclude(conflict=text)
            .update(conflict=text, updated_at=timezone.now())
        )
        return self.get(record) if changed else None

    def add_reversed(self, reversal: AbstractTransaction) -> AbstractTransaction | None:
        """Add to the original's amount given back; all of it or a part decides its state."""
        if reversal.original_id is None:
            return None
        total = F("reversed_amount") + reversal.amount
        changed = self._records.filter(
            pk=reversal.original_id,
            state__in=(State.COMPLETED, State.PARTLY_REVERSED),
            reversed_amount__lte=F("amount") - reversal.amount,
        ).update(
            # The state first: MariaDB reads a column that was set earlier in the same UPDATE anew.
            state=Case(
                When(amount=total, then=Value(State.REVERSED.value)),
                default=Value(State.PARTLY_REVERSED.value),
            ),
            reversed_amount=total,
            updated_at=timezone.now(),
        )
        return self._records.get(pk=reversal.original_id) if changed else None

    def find(self, third_party_reference: str) -> AbstractTransaction | None:
        """Select by third-party reference."""
        return self._first(third_party_reference=third_party_reference)

    def find_by_key(self, idempotency_key: str) -> AbstractTransaction | None:
        """Select by idempotency key."""
        return self._first(idempotency_key=idempotency_key)

    def find_paid(self, transaction_id: str) -> AbstractTransaction | None:
        """Select by transaction ID."""
        return self._first(transaction_id=transaction_id, operation__in=("c2b", "b2c", "b2b"))

    def due(self, now: datetime, limit: int) -> list[AbstractTransaction]:
        """Select what is due."""
        return list(self._mine.filter(next_check_at__lte=now).order_by("next_check_at")[:limit])

    def keep_callback(self, values: Mapping[str, Any]) -> CallbackLog:
        """Insert a callback."""
        return self._callbacks.create(account=self._account, **values)

    def judge_callback(
        self, entry: CallbackLog, verdict: Verdict, record: AbstractTransaction | None
    ) -> None:
        """Update a callback's verdict."""
        entry.verdict = verdict.value
        entry.transaction_id = record.pk if record else None
        entry.save(using=self.alias, update_fields=("verdict", "transaction"))

    def early_callbacks(self, third_party_reference: str) -> list[tuple[CallbackLog, bytes]]:
        """Select callbacks not decided yet."""
        waiting = self._callbacks.filter(
            account=self._account,
            third_party_reference=third_party_reference,
            verdict__in=(Verdict.RECEIVED, Verdict.EARLY),
        ).order_by("pk")
        return [(entry, bytes(entry.body)) for entry in waiting]

    def _first(self, **lookup: Any) -> AbstractTransaction | None:
        found: AbstractTransaction | None = self._mine.filter(**lookup).first()
        return found
