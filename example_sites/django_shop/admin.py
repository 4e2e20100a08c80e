"""The shop's side of the admin. Orders are looked at there: payments move them, not people."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from .models import Order, OrderLine, Product

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _ModelAdmin = admin.ModelAdmin
    _TabularInline = admin.TabularInline


class _ReadOnly:
    def has_add_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any, **kwargs: Any) -> bool:
        return False


class OrderLineInline(_ReadOnly, _TabularInline):
    model = OrderLine
    extra = 0


@admin.register(Order)
class OrderAdmin(_ReadOnly, _ModelAdmin):
    list_display = (
        "reference", "total", "payment", "given_back", "being_given_back", "packed_at",
        "created_at",
    )  # fmt: skip
    inlines = (OrderLineInline,)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("mpesa")

    @admin.display(description=_("payment"))
    def payment(self, order: Order) -> str:
        """Its state, which leads to where it can be given back."""
        payment = order.mpesa.payment
        if payment is None:
            return "-"
        url = reverse("admin:django_mpesa_transaction_change", args=[payment.pk])
        return format_html('<a href="{}">{}</a>', url, payment.get_state_display())

    @admin.display(description=_("given back (MZN)"))
    def given_back(self, order: Order) -> Decimal:
        return order.mpesa.amount_reversed

    @admin.display(description=_("being given back (MZN)"))
    def being_given_back(self, order: Order) -> Decimal:
        return order.mpesa.reversal_pending


@admin.register(Product)
class ProductAdmin(_ModelAdmin):
    list_display = ("name", "price")
