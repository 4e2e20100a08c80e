"""`show`: the shop's payments and orders, on the terminal."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from django_mpesa.models import Transaction
from example_sites.django_shop.models import Order


class Command(BaseCommand):
    help = "Show the payment records and the orders."

    def handle(self, *args: Any, **options: Any) -> None:
        payments = Table("state", "amount", "phone", "third-party reference", "transaction ID",
                         "callbacks", title="Payment records")  # fmt: skip
        for record in Transaction.objects.prefetch_related("callbacks"):
            verdicts = ", ".join(callback.verdict for callback in record.callbacks.all())
            payments.add_row(
                record.state,
                str(record.amount),
                record.masked_msisdn,
                record.third_party_reference,
                record.transaction_id,
                verdicts,
            )
        orders = Table("order", "total", "payment", "given back", "packed", title="Orders")
        for order in Order.objects.prefetch_related("mpesa"):
            found = order.mpesa
            state, returned = str(found.state or ""), str(found.amount_reversed)
            packed = "yes" if order.packed_at else "no"
            orders.add_row(order.reference, str(order.total), state, returned, packed)
        console = Console(width=110)
        console.print(payments, orders)
