"""What people read for the words that stand in the records' columns."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.payments.lifecycle import State as CoreState
from mpesa_integrations.core.payments.records import Verdict as CoreVerdict


class Operation(models.TextChoices):
    """What was asked of the gateway."""

    C2B = "c2b", _("Payment (C2B)")
    B2C = "b2c", _("Payout (B2C)")
    B2B = "b2b", _("Business payment (B2B)")
    REVERSAL = "reversal", _("Reversal")


class State(models.TextChoices):
    """Where a payment stands; the words are core's."""

    QUEUED = CoreState.QUEUED.value, _("Queued")
    INITIATED = CoreState.INITIATED.value, _("Started")
    PENDING = CoreState.PENDING.value, _("Waiting")
    UNKNOWN = CoreState.UNKNOWN.value, _("Being checked")
    COMPLETED = CoreState.COMPLETED.value, _("Paid")
    FAILED = CoreState.FAILED.value, _("Failed")
    CANCELLED = CoreState.CANCELLED.value, _("Cancelled")
    PARTLY_REVERSED = CoreState.PARTLY_REVERSED.value, _("Partly given back")
    REVERSED = CoreState.REVERSED.value, _("Given back")


class Verdict(models.TextChoices):
    """What became of a callback; the words are core's."""

    RECEIVED = CoreVerdict.RECEIVED.value, _("Received")
    APPLIED = CoreVerdict.APPLIED.value, _("Applied")
    REPEATED = CoreVerdict.REPEATED.value, _("Known before")
    EARLY = CoreVerdict.EARLY.value, _("Early")
    UNCONFIRMED = CoreVerdict.UNCONFIRMED.value, _("Not confirmed")
    CONFLICT = CoreVerdict.CONFLICT.value, _("Contradicts")
    UNMATCHED = CoreVerdict.UNMATCHED.value, _("No such payment")
    MISMATCHED = CoreVerdict.MISMATCHED.value, _("Another conversation")
    UNREADABLE = CoreVerdict.UNREADABLE.value, _("Unreadable")
    FAILED = CoreVerdict.FAILED.value, _("Could not be applied")
