"""Fields whose columns differ from Django's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    _CharField = models.CharField[Any, Any]
else:
    _CharField = models.CharField


class ExactCharField(_CharField):
    """Text that is compared as it is, whatever the database's collation takes for the same."""

    def db_type(self, connection: Any) -> str | None:
        """MariaDB's collations take capitals, accents and spaces for the same; this one does not.

        Its character set is named too, so that it fits a table in any other.
        """
        found: str | None = super().db_type(connection)
        if connection.vendor == "mysql":
            return f"{found} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        return found
