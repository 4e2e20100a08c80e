"""A payment, and a phone number, in an API made with Django REST framework."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from rest_framework import serializers

from django_mpesa import get_transaction_model
from django_mpesa.forms import LONGEST, normalise
from django_mpesa.models import AbstractTransaction
from mpesa_integrations import format_msisdn

__all__ = ["MsisdnField", "PaymentSerializer"]


class MsisdnField(serializers.CharField):  # type: ignore[misc] # DRF is not typed
    """A phone number that M-Pesa is on, as `django_mpesa.forms.MsisdnField` takes it.

    It gives `258841234567`, and writes `84 123 4567`: the whole number, to whoever reads it.

    Args:
        kwargs: those of `CharField`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": LONGEST, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        """Give the gateway's form.

        Raises:
            ValidationError: DRF's, in the language of the request.
        """
        try:
            return normalise(super().to_internal_value(data))
        except ValidationError as error:
            raise serializers.ValidationError(error.messages, code="invalid") from None

    def to_representation(self, value: str) -> str:
        """Write it as people do."""
        return format_msisdn(value)


class PaymentSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    """A payment as its customer may see it: read only, the number masked, and nothing secret.

    `message` is what to tell the customer, in the language of the request. A subclass adds fields
    of yours by its `Meta.fields`.
    """

    msisdn = serializers.CharField(
        source="masked_msisdn", read_only=True, help_text="The phone that was asked, masked."
    )
    message = serializers.SerializerMethodField(
        help_text="What to tell the customer, in the language of the request."
    )

    class Meta:
        """Of whatever model the payments have."""

        model = get_transaction_model()
        fields: ClassVar[Any] = (
            "operation", "state", "amount", "reversed_amount", "reversal_pending", "currency",
            "msisdn", "reference", "transaction_id", "is_open", "is_paid", "may_retry", "message",
            "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields: ClassVar[Any] = fields

    def get_message(self, payment: AbstractTransaction) -> str:
        """What to tell the customer."""
        return payment.customer_message(get_language())
