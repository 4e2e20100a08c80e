"""What is sold, and what was ordered. An order's status is moved only by signals of its payment."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from decimal import Decimal

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import IntegrityError, models, transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from django_mpesa.models import AbstractTransaction


class Product(models.Model):
    name = models.CharField(_("name"), max_length=80)
    description = models.CharField(_("description"), max_length=200)
    picture = models.CharField(_("picture"), max_length=80)
    price = models.DecimalField(
        _("price (MZN)"), max_digits=10, decimal_places=2, validators=[MinValueValidator(1)]
    )

    class Meta:
        ordering = ("id",)
        verbose_name = _("product")
        verbose_name_plural = _("products")

    def __str__(self) -> str:
        return self.name


class Status(models.TextChoices):
    NEW = "new", _("Not paid yet")
    WAITING = "waiting", _("Waiting for your PIN")
    CHECKING = "checking", _("We are checking your payment")
    PAID = "paid", _("Paid")
    REFUSED = "refused", _("The payment was refused")
    CANCELLED = "cancelled", _("The payment was cancelled")


OPEN = (Status.WAITING, Status.CHECKING)
"""A payment is under way, and no other may be begun."""


class Order(models.Model):
    token = models.UUIDField(_("token"), default=uuid.uuid4, unique=True, editable=False)
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.NEW
    )
    total = models.DecimalField(_("total (MZN)"), max_digits=12, decimal_places=2)
    attempts = models.PositiveIntegerField(_("attempts to pay"), default=0)
    payment = models.ForeignKey(
        settings.MPESA_TRANSACTION_MODEL,
        verbose_name=_("latest payment"),
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    created_at = models.DateTimeField(_("ordered"), auto_now_add=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("order")
        verbose_name_plural = _("orders")

    def __str__(self) -> str:
        return self.reference

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.token])

    @property
    def reference(self) -> str:
        """What the customer reads on the phone and on the statement."""
        return f"ORDER {self.pk}"

    @property
    def may_be_paid(self) -> bool:
        """Whether no money came, and none is on its way."""
        return Status(self.status) in (Status.NEW, Status.REFUSED, Status.CANCELLED)

    @property
    def is_refused(self) -> bool:
        return Status(self.status) is Status.REFUSED

    @classmethod
    def place(cls, token: uuid.UUID, lines: Iterable[tuple[Product, int]]) -> Order:
        """Make the order of a basket, or give the one that was made of it a moment ago."""
        lines = list(lines)
        total = sum((product.price * quantity for product, quantity in lines), Decimal(0))
        try:
            with transaction.atomic():
                order: Order = cls.objects.create(token=token, total=total)
                OrderLine.objects.bulk_create(
                    OrderLine(
                        order=order, name=product.name, price=product.price, quantity=quantity
                    )
                    for product, quantity in lines
                )
        except IntegrityError:
            order = cls.objects.get(token=token)
        return order

    def follow(self, payment: AbstractTransaction, status: Status) -> bool:
        """Take in news of a payment; whether it changed anything.

        News may overtake each other, and come twice: each is one conditional UPDATE, which old
        news and news of an earlier attempt do not pass.
        """
        unpaid = Order.objects.filter(pk=self.pk).exclude(status=Status.PAID)
        newer = unpaid.filter(Q(payment=None) | Q(payment__lt=payment.pk))
        same = unpaid.filter(payment=payment.pk, status__in=OPEN).exclude(status=status)
        return bool(
            newer.update(status=status, payment=payment.pk, attempts=F("attempts") + 1)
            or same.update(status=status)
        )


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    name = models.CharField(_("product"), max_length=80)
    price = models.DecimalField(_("price (MZN)"), max_digits=10, decimal_places=2)
    quantity = models.PositiveSmallIntegerField(_("quantity"))

    class Meta:
        verbose_name = _("line")
        verbose_name_plural = _("lines")

    def __str__(self) -> str:
        return f"{self.quantity} × {self.name}"

    @property
    def amount(self) -> Decimal:
        return self.price * self.quantity
