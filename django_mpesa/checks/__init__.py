"""System checks: what is wrong with the settings is said at start, not at the first payment."""

from __future__ import annotations

from django.core.checks import Tags, register

from .accounts import check_accounts, check_deployment
from .database import check_database, check_tables
from .models import check_models


def register_checks() -> None:
    """Register the checks; called once by the app."""
    register(check_accounts, "mpesa")
    register(check_deployment, "mpesa", deploy=True)
    register(check_database, "mpesa")
    register(check_models, "mpesa")
    register(check_tables, Tags.database)
