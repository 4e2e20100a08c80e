"""A phone number in a shop's own model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models

from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE

__all__ = ["MsisdnField"]
_LONGEST = len(MOZAMBIQUE.numbering.country_code) + MOZAMBIQUE.numbering.length

if TYPE_CHECKING:
    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


class MsisdnField(_CharField):
    """A phone number that M-Pesa is on, kept as the gateway takes it: `258841234567`.

    Its form field is `django_mpesa.forms.MsisdnField`. A number that is written otherwise is
    brought to that form by `full_clean()` and by whatever writes it; a query compares what is on
    record, and text that is no number equals none.

    Args:
        args: those of Django's `CharField`.
        kwargs: likewise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": _LONGEST, **kwargs})

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Refuse a column that is too short for a number."""
        found = super().check(**kwargs)
        if self.max_length is not None and self.max_length < _LONGEST:
            problem = f"max_length is {self.max_length}; a phone number takes {_LONGEST}"
            found.append(checks.Error(problem, obj=self, id="mpesa.E035"))
        return found

    def to_python(self, value: Any) -> Any:
        """Give the gateway's form.

        Raises:
            ValidationError: Django's; the text is no such number.
        """
        from .forms import normalise  # it needs the settings, which models are loaded before

        value = super().to_python(value)
        return normalise(value) if value else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Bring what is assigned to the gateway's form, on the object, too."""
        value = super().pre_save(model_instance, add)
        if hasattr(value, "resolve_expression"):
            return value  # the database works it out, as with F()
        value = self.to_python(value)
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        """Give what a query compares with; text that is no number is none of those on record."""
        try:
            return super().get_prep_value(value)
        except ValidationError:
            return str(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Give what is written, by `update()` and `bulk_update()`, too.

        Raises:
            ValidationError: Django's; it is no such number.
        """
        plain = value if hasattr(value, "as_sql") else self.to_python(value)
        return super().get_db_prep_save(plain, connection)

    def formfield(self, **kwargs: Any) -> Any:
        """Give the form field."""
        from .forms import LONGEST, MsisdnField

        return super().formfield(**{"form_class": MsisdnField, "max_length": LONGEST, **kwargs})
