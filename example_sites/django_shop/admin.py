"""The shop's side of the admin. Orders are looked at there: payments move them, not people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

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
    list_display = ("reference", "status", "total", "attempts", "payment", "created_at")
    list_filter = ("status",)
    inlines = (OrderLineInline,)


@admin.register(Product)
class ProductAdmin(_ModelAdmin):
    list_display = ("name", "price")
