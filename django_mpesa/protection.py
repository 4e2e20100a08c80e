"""Keeps the library's columns from being written by anybody else; which they are, core says.

Two layers. `save()` of a record that was read leaves the library's columns out, so that an old
object undoes nothing. And whatever would write one all the same is refused where Django makes the
SQL of it: by the columns themselves, which no manager, QuerySet or `save()` of a shop's can lose.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import models
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from mpesa_integrations.core.payments.ownership import OWNED, refuse_making, refuse_writing

from .guards import guard_model, library_writes

_R = TypeVar("_R", bound="ProtectedModel")
_SAVE_ARGUMENTS = ("force_insert", "force_update", "using", "update_fields")
_READ = "_mpesa_read"
"""The attribute of a record for the names and values of its columns as they were read."""
_MAKING = "_mpesa_making"
"""The attribute of a record that the library is about to insert."""


class ProtectedModel(models.Model):
    """A model some of whose columns only the library writes."""

    class Meta:
        """Its columns are the payment's."""

        abstract = True

    @classmethod
    def from_db(cls: type[_R], db: str | None, field_names: Any, values: Any, **options: Any) -> _R:
        """Remember what was read: what differs from it when it is saved, somebody has set."""
        record: _R = super().from_db(db, field_names, values, **options)
        record.__dict__[_READ] = (field_names, values)
        return record

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read it anew, and remember what was read."""
        super().refresh_from_db(*args, **kwargs)
        fields = args[1] if len(args) > 1 else kwargs.get("fields")
        now = vars(self)
        read = dict(zip(*now.get(_READ, ((), ())), strict=True))
        for field in _owned_fields(type(self)):
            meant = fields is None or field.name in fields or field.attname in fields
            if meant and field.attname in now:
                read[field.attname] = now[field.attname]
        now[_READ] = (tuple(read), tuple(read.values()))

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the shop's columns; the library's are left as the database has them.

        Raises:
            ProtectedRecord: the record is new, or one of the library's columns was set or is named
                in `update_fields`.
        """
        if _MAKING in vars(self):
            super().save(*args, **kwargs)
            return
        options = {**dict(zip(_SAVE_ARGUMENTS, args, strict=False)), **kwargs}
        if self._state.adding or options.get("force_insert"):
            raise refuse_making()
        options["update_fields"] = _to_save(self, options.get("update_fields"))
        super().save(**options)

    def _save_table(self, raw: bool = False, *args: Any, **kwargs: Any) -> Any:
        """Let the library insert what it has made, and a fixture be loaded."""
        made = vars(self).pop(_MAKING, False)
        if made:
            # A receiver of pre_save, or a save() of the shop's, had it in hand. A key of the
            # shop's own may be made there.
            _refuse_what_was_set(self, besides=self._meta.pk)
        if not (made or raw):
            return super()._save_table(raw, *args, **kwargs)  # type: ignore[misc]
        with library_writes():
            saved = super()._save_table(raw, *args, **kwargs)  # type: ignore[misc]
        _remember(self)
        return saved


class LibraryRecords(models.QuerySet[_R]):
    """All records of a model; through it, and by nothing else, the library updates them."""

    def update(self, **values: Any) -> int:
        """Update, the library's columns too."""
        with library_writes():
            return super().update(**values)


def insert(record: ProtectedModel, using: str) -> None:
    """Insert a record that the library has made.

    Raises:
        ProtectedRecord: the shop's code changed the library's columns on the way.
    """
    _remember(record)
    vars(record)[_MAKING] = True
    try:
        record.save(using=using, force_insert=True)
    finally:
        vars(record).pop(_MAKING, None)


def with_values(record: _R, values: Mapping[str, Any]) -> _R:
    """The record as an UPDATE left it; reading it again would cost as much as the UPDATE."""
    changed = copy.copy(record)
    for name, value in values.items():
        setattr(changed, name, getattr(value, "value", value))
    _remember(changed)
    return changed


def shop_fields(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    """The columns that a shop may write, by the names that it may use for each."""
    found: dict[str, models.Field[Any, Any]] = {}
    for field in model._meta.concrete_fields:
        is_made = isinstance(field, models.AutoField) or getattr(field, "generated", False)
        if field.name not in OWNED and not is_made:
            found[field.name] = found[field.attname] = field
    return found


def _to_save(record: ProtectedModel, asked: Sequence[str] | None) -> list[str]:
    """Which columns a `save()` of the shop's writes: those it asks for, or else all its own."""
    owned = {name: f for f in _owned_fields(type(record)) for name in (f.name, f.attname)}
    if asked is None:
        _refuse_what_was_set(record)
        return [
            field.name
            for field in record._meta.concrete_fields
            if field.name not in owned
            and field.attname in vars(record)
            and not getattr(field, "generated", False)
        ]
    # update_or_create() names what a field sets by itself, such as the time of an update.
    named = {n for n in asked if n in owned and not _sets_itself(owned[n])}
    if named:
        raise refuse_writing(named)
    return [name for name in asked if name not in owned]


def _refuse_what_was_set(record: ProtectedModel, *, besides: object = None) -> None:
    now = vars(record)
    read = dict(zip(*now.get(_READ, ((), ())), strict=True))
    names = [
        field.name
        for field in _owned_fields(type(record))
        if field.attname in now
        and field is not besides
        and (field.attname not in read or read[field.attname] != now[field.attname])
    ]
    if names:
        raise refuse_writing(names)


def _remember(record: ProtectedModel) -> None:
    now = vars(record)
    read = {f.attname: now[f.attname] for f in _owned_fields(type(record)) if f.attname in now}
    now[_READ] = (tuple(read), tuple(read.values()))


@cache
def _owned_fields(model: type[models.Model]) -> tuple[models.Field[Any, Any], ...]:
    fields = model._meta.concrete_fields
    return tuple(field for field in fields if field.primary_key or field.name in OWNED)


def _sets_itself(field: models.Field[Any, Any]) -> bool:
    return type(field).pre_save is not models.Field.pre_save


@receiver(class_prepared, dispatch_uid="django_mpesa.protection")
def _protect(sender: type[models.Model], **kwargs: Any) -> None:
    """Guard a model of payments, a shop's own too, when Django has prepared it."""
    if issubclass(sender, ProtectedModel):
        guard_model(sender)
