"""Payments' rows as a test needs them, through the library's own door: a shop's code has none."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from django_mpesa.models import Transaction
from django_mpesa.protection import LibraryRecords, ProtectedModel, insert


def make(model: type[ProtectedModel] = Transaction, **columns: Any) -> Any:
    """Insert a payment."""
    record = model(**columns)
    insert(record, "default")
    return record


def change(found: QuerySet[Any], **columns: Any) -> int:
    """Update payments."""
    keys = list(found.values_list("pk", flat=True))
    meant: LibraryRecords[Any] = LibraryRecords(found.model, using=found.db)
    return int(meant.filter(pk__in=keys).update(**columns))


def remove(found: QuerySet[Any]) -> int:
    """Delete payments."""
    return int(found._raw_delete(found.db))
