"""What is sold, and what was ordered. Where an order stands is read from its payments' records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import IntegrityError, models, transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from django_mpesa.orders import OrderPayments


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


class Order(models.Model):
    token = models.UUIDField(_("token"), default=uuid.uuid4, unique=True, editable=False)
    total = models.DecimalField(_("total (MZN)"), max_digits=12, decimal_places=2)
    packed_at = models.DateTimeField(_("packed"), null=True, editable=False)
    created_at = models.DateTimeField(_("ordered"), auto_now_add=True)
    mpesa = OrderPayments()

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
