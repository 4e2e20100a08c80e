"""The records: payments, callbacks and the outbox. What changes them is core's."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.db.models.signals import class_prepared
from django.dispatch import receiver
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments.customer_messages import customer_message
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES
from mpesa_integrations.core.payments.lifecycle import State as CoreState
from mpesa_integrations.core.payments.orders import may_retry

from .choices import Operation, State, Verdict
from .constraints import add_constraints, check_constraint
from .fields import ExactCharField
from .paid_for import PaidForKey, set_null_here
from .protection import ProtectedModel

__all__ = [
    "AbstractTransaction",
    "CallbackLog",
    "Notice",
    "Operation",
    "OutboxEntry",
    "State",
    "Transaction",
    "Verdict",
]

if not hasattr(settings, "MPESA_TRANSACTION_MODEL"):
    # A swappable model's setting must be there; as AUTH_USER_MODEL's is, by Django's defaults.
    settings.MPESA_TRANSACTION_MODEL = "django_mpesa.Transaction"


class AbstractTransaction(ProtectedModel):
    """A payment's columns, for a model of your own named by MPESA_TRANSACTION_MODEL."""

    account = models.CharField(_("account"), max_length=40, default="default")
    operation = models.CharField(_("operation"), max_length=10, choices=Operation.choices)
    state = models.CharField(
        _("state"), max_length=16, choices=State.choices, default=State.INITIATED
    )
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    reversed_amount = models.DecimalField(
        _("amount given back"), max_digits=14, decimal_places=2, default=0
    )
    reversal_pending = models.DecimalField(
        _("amount being given back"), max_digits=14, decimal_places=2, default=0, editable=False
    )
    currency = models.CharField(_("currency"), max_length=3, default="MZN", editable=False)
    msisdn = models.CharField(_("phone number"), max_length=12, blank=True)
    receiver_shortcode = models.CharField(_("receiver"), max_length=6, blank=True)
    reference = models.CharField(_("reference"), max_length=20, blank=True)
    third_party_reference = models.CharField(_("third-party reference"), max_length=20)
    conversation_id = models.CharField(_("conversation ID"), max_length=64, blank=True)
    transaction_id = models.CharField(_("transaction ID"), max_length=64, blank=True)
    # The same for a payment whose money moved, and NULL before: one transaction of the gateway
    # belongs to one payment. A reversal has none, since its answer may name what it reverses.
    claimed_transaction_id = ExactCharField(max_length=64, null=True, editable=False)
    idempotency_key = models.CharField(
        _("idempotency key"), max_length=100, null=True, blank=True, editable=False
    )
    order_key = ExactCharField(_("order"), max_length=100, blank=True, default="", editable=False)
    # The same while the payment is open or paid, and NULL else: no other of the order is then.
    claimed_order_key = ExactCharField(max_length=100, null=True, editable=False)
    response_code = models.CharField(_("response code"), max_length=16, blank=True)
    response_description = models.CharField(_("response"), max_length=255, blank=True)
    conflict = models.CharField(_("contradicting news"), max_length=255, blank=True)
    conflict_decided_at = models.DateTimeField(
        _("contradiction decided"), null=True, blank=True, editable=False
    )
    original = models.ForeignKey(
        "self",
        verbose_name=_("reverses"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reversals",
    )
    original_id: int | None
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    next_check_at = models.DateTimeField(_("next check"), null=True, blank=True, editable=False)
    checks = models.PositiveIntegerField(_("checks"), default=0, editable=False)
    send_before = models.DateTimeField(_("to be sent by"), null=True, blank=True, editable=False)
    stuck_at = models.DateTimeField(_("given to a person"), null=True, blank=True, editable=False)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True, encoder=DjangoJSONEncoder)
    # No constraint: the content types may be in another database than the payments.
    content_type = models.ForeignKey(
        ContentType, null=True, blank=True, on_delete=set_null_here, related_name="+",
        db_constraint=False,
    )  # fmt: skip
    object_id = models.CharField(max_length=64, blank=True)
    paid_for = PaidForKey("content_type", "object_id")

    class Meta:
        """What must hold is held by the database too."""

        abstract = True
        verbose_name = _("M-Pesa transaction")
        verbose_name_plural = _("M-Pesa transactions")
        ordering = ("-id",)
        permissions = (
            ("view_full_msisdn", _("Can see whole phone numbers")),
            ("reverse_transaction", _("Can give a payment's money back")),
            ("resolve_transaction", _("Can decide what became of a payment")),
        )
        constraints = (
            check_constraint(condition=Q(amount__gt=0), name="%(app_label)s_%(class)s_amount"),
            check_constraint(
                condition=Q(reversed_amount__gte=0, reversed_amount__lte=F("amount")),
                name="%(app_label)s_%(class)s_reversed",
            ),
            check_constraint(
                condition=Q(state__in=State.values), name="%(app_label)s_%(class)s_state"
            ),
            models.UniqueConstraint(
                # The reference first: the admin searches it over all accounts.
                fields=("third_party_reference", "account"),
                name="%(app_label)s_%(class)s_reference",
            ),
            models.UniqueConstraint(
                fields=("account", "idempotency_key"), name="%(app_label)s_%(class)s_key"
            ),
            models.UniqueConstraint(
                fields=("account", "claimed_transaction_id"),
                name="%(app_label)s_%(class)s_claimed",
            ),
            models.UniqueConstraint(
                fields=("account", "operation", "claimed_order_key"),
                name="%(app_label)s_%(class)s_order",
            ),
        )
        indexes = (
            models.Index(fields=("account", "next_check_at")),
            models.Index(fields=("transaction_id",)),
            models.Index(fields=("conversation_id",)),
            models.Index(fields=("reference",)),
            models.Index(fields=("order_key",)),
            models.Index(fields=("msisdn",)),
            models.Index(fields=("created_at",)),
            models.Index(fields=("state", "created_at")),
            models.Index(fields=("conflict",)),
            models.Index(fields=("content_type", "object_id")),
        )

    def __str__(self) -> str:
        amount = number_format(self.amount, 2)
        return f"{self.get_operation_display()} {amount} {self.third_party_reference}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pk} {self.third_party_reference} {self.state}>"

    @property
    def masked_msisdn(self) -> str:
        """The phone number as anybody may see it."""
        return mask_msisdn(self.msisdn) if self.msisdn else ""

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return CoreState(self.state) in OPEN_STATES

    @property
    def may_retry(self) -> bool:
        """Whether it did not go through, so that its order may be tried again."""
        return may_retry(self)

    @property
    def is_paid(self) -> bool:
        """Whether the money moved and none of it was given back."""
        return CoreState(self.state) is CoreState.COMPLETED

    def customer_message(self, language: str | None = "en") -> str:
        """What to tell the customer whose payment it is: where it stands, and what to do.

        Args:
            language: as `pt` or `pt-MZ`; one that there are no words in, or None, gives English.
        """
        return customer_message(self).in_language(language)


@receiver(class_prepared, dispatch_uid="django_mpesa.constraints")
def _constrain(sender: type[models.Model], **kwargs: Any) -> None:
    """Give a payments' model its constraints, also where its Meta does not inherit them."""
    if issubclass(sender, AbstractTransaction):
        add_constraints(sender, AbstractTransaction)


class Transaction(AbstractTransaction):
    """A payment, payout or reversal."""

    class Meta(AbstractTransaction.Meta):
        """Put another in its place with MPESA_TRANSACTION_MODEL."""

        abstract = False
        swappable = "MPESA_TRANSACTION_MODEL"


class CallbackLog(models.Model):
    """A callback as it arrived, believed or not."""

    account = models.CharField(_("account"), max_length=40)
    received_at = models.DateTimeField(_("received"), auto_now_add=True, db_index=True)
    remote_address = models.GenericIPAddressField(_("from"), null=True, blank=True)
    body = models.BinaryField(_("body"))
    conversation_id = models.CharField(
        _("conversation ID"), max_length=64, blank=True, db_index=True
    )
    third_party_reference = models.CharField(
        _("third-party reference"), max_length=64, blank=True, db_index=True
    )
    verdict = models.CharField(
        _("verdict"), max_length=12, choices=Verdict.choices, default=Verdict.RECEIVED
    )
    transaction = models.ForeignKey(
        settings.MPESA_TRANSACTION_MODEL,
        verbose_name=_("transaction"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="callbacks",
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0, editable=False)
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, blank=True, editable=False)

    class Meta:
        """History: newest first."""

        verbose_name = _("M-Pesa callback")
        verbose_name_plural = _("M-Pesa callbacks")
        permissions = (("apply_callbacks", _("Can apply callbacks again")),)
        ordering = ("-id",)
        indexes = (models.Index(fields=("account", "verdict", "received_at")),)

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} {self.third_party_reference}"


class OutboxEntry(models.Model):
    """An event to send a signal of or to run a handler for; deleted once that is done."""

    id = models.CharField(max_length=32, primary_key=True)
    account = models.CharField(_("account"), max_length=40)
    event = models.CharField(_("event"), max_length=20)
    transaction = models.ForeignKey(
        settings.MPESA_TRANSACTION_MODEL,
        verbose_name=_("transaction"),
        on_delete=models.CASCADE,
        related_name="+",
    )
    transaction_id: int
    handler = models.CharField(_("handler"), max_length=200, blank=True, default="")
    # The order of a payment's events, among those that are still here.
    sequence = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(_("next attempt"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    problem = models.CharField(_("problem"), max_length=255, blank=True, default="")
    given_up_at = models.DateTimeField(_("given to a person"), null=True, blank=True)

    class Meta:
        """Workers find what should have been dispatched by now; the admin shows the handlers."""

        verbose_name = _("M-Pesa handler to be run")
        verbose_name_plural = _("M-Pesa handlers to be run")
        permissions = (("run_handlers", _("Can run handlers again")),)
        indexes = (models.Index(fields=("account", "due_at")),)

    def __str__(self) -> str:
        return f"{self.event} {self.handler or self.id}"


Notice = OutboxEntry
"""The model's name before the rows were called an outbox."""
