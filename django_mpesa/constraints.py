"""Check constraints under the name that the running Django gives their argument."""

from __future__ import annotations

from typing import Any

import django
from django.db import models


def check_constraint(*, condition: Any, name: str) -> models.CheckConstraint:
    """Make a check constraint; its `check` became `condition` in Django 5.1."""
    argument = "condition" if django.VERSION >= (5, 1) else "check"
    return models.CheckConstraint(**{argument: condition, "name": name})
