"""What a shop's own arguments of a call write: `metadata`, `paid_for`, and columns of its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import ValidationError
from django.db.models import ForeignKey, Model

from mpesa_integrations.core.errors import nothing_sent
from mpesa_integrations.core.payments.ownership import refuse_names, refuse_unsaved

from .protection import shop_fields

_M = TypeVar("_M", bound=Model)


def shop_columns(model: type[Model], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read a call's further arguments.

    Args:
        model: the model of payments.
        given: `paid_for=order`, `order=order`, `order_id=7`, `metadata={…}` and the like.

    Returns:
        By argument, the values by the attributes that are written.

    Raises:
        ValidationError: one names a column of the library's or none, or an object that has no key.
    """
    if not given:
        return {}
    fields: dict[str, Any] = shop_fields(model)
    for field in model._meta.private_fields:
        if isinstance(field, GenericForeignKey):
            fields[field.name] = field
    refuse_names(given, fields)
    found = {}
    for name, value in given.items():
        field = fields[name]
        if isinstance(field, GenericForeignKey):
            found[name] = _generic(field, value)
        elif isinstance(value, Model):
            found[name] = {field.attname: _key(name, value, field)}
        elif value is None or hasattr(value, "resolve_expression"):
            found[name] = {field.attname: value}
        else:
            found[name] = {field.attname: _read(name, value, field)}
    return found


def make_record(model: type[_M], values: Mapping[str, Any]) -> _M:
    """Make a record, with a generic key's object in another database, too; Django refuses that."""
    objects = {
        field: values[field.name]
        for field in model._meta.private_fields
        if isinstance(field, GenericForeignKey) and field.name in values
    }
    names = {field.name for field in objects}
    columns = {name: value for name, value in values.items() if name not in names}
    for field, value in objects.items():
        columns |= _generic(field, value)
    record = model(**columns)
    for field, value in objects.items():
        field.set_cached_value(record, value)
    return record


def _read(name: str, value: Any, field: Any) -> Any:
    try:
        return field.to_python(value)
    except ValidationError as error:
        raise nothing_sent({name: error.messages}) from None


def _generic(field: GenericForeignKey, value: Any) -> dict[str, Any]:
    meta = field.model._meta
    kind, key = meta.get_field(field.ct_field), meta.get_field(field.fk_field)
    if value is None:
        nothing = None if key.null else ""
        return {kind.attname: None, key.attname: nothing}
    if not isinstance(value, Model) or value.pk is None:
        raise refuse_unsaved(field.name)
    return {
        kind.attname: field.get_content_type(obj=value).pk,
        key.attname: key.to_python(value.pk),
    }


def _key(name: str, value: Model, field: Any) -> Any:
    key = getattr(value, field.target_field.attname) if isinstance(field, ForeignKey) else None
    if key is None:
        raise refuse_unsaved(name)
    return key
