"""Checks of the payments' model, which may be the project's own; no database is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db import router

from mpesa_integrations.core.payments import tables

from .. import constraints
from ..models import AbstractTransaction, CallbackLog, OutboxEntry
from ..swapping import get_transaction_model


def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check that the payments' model has what the guarantees stand on; no database is asked."""
    model = get_transaction_model()
    if not issubclass(model, AbstractTransaction):
        return [
            Error(
                f"MPESA_TRANSACTION_MODEL is {model._meta.label}, which is no model of payments.",
                hint="Let it inherit from django_mpesa.models.AbstractTransaction.",
                obj=model,
                id="mpesa.E030",
            )
        ]
    return [
        *(
            Error(
                f"{fault.text}.",
                hint="Leave the constraints of AbstractTransaction in the model's _meta, "
                "and its fields as they are.",
                obj=model,
                id="mpesa.E031",
            )
            for fault in tables.faults(constraints.in_model(model))
        ),
        *_check_fields(model),
        *_check_routes(model),
    ]


def _check_routes(model: type[AbstractTransaction]) -> Iterator[CheckMessage]:
    alias = router.db_for_write(model)
    for other in (CallbackLog, OutboxEntry):
        elsewhere = router.db_for_write(other)
        if elsewhere != alias:
            yield Error(
                f"Payments are written to the database {alias!r}, and {other._meta.label} to "
                f"{elsewhere!r}: they belong together in one transaction.",
                hint=f"Let DATABASE_ROUTERS send {other._meta.app_label} where "
                f"{model._meta.label} goes.",
                obj=other,
                id="mpesa.E034",
            )


def _check_fields(model: type[AbstractTransaction]) -> Iterator[CheckMessage]:
    """Fields may be put in place of the library's if they hold all that those do."""
    for needed in AbstractTransaction._meta.local_fields:
        try:
            field: Any = model._meta.get_field(needed.name)
        except FieldDoesNotExist:
            field = None
        if needed.primary_key or (field is not None and _holds_as_much(field, needed)):
            continue
        yield Error(
            f"The field {needed.name} of {model._meta.label} does not hold what the library "
            "writes into it.",
            hint="Leave it as AbstractTransaction has it.",
            obj=model,
            id="mpesa.E033",
        )


def _holds_as_much(field: Any, needed: Any) -> bool:
    length, enough = (getattr(f, "max_length", None) for f in (field, needed))
    return (
        isinstance(field, type(needed))
        and (field.null or not needed.null)
        and (enough is None or length is None or length >= enough)
    )
