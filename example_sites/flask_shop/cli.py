"""Commands: `serve` the café over HTTPS, and `show` its payments and orders."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import with_appcontext
from rich.console import Console
from rich.table import Table

from example_sites.https_server import serve as serve_https

from .models import Order, Payment, PaymentCallback, db, mpesa


@click.command()
@with_appcontext
def serve() -> None:
    """Serve the café over HTTPS until Ctrl-C."""
    config = current_app.config
    # The application itself: each request makes a context of its own.
    serve_https(current_app.wsgi_app, config["SHOP_PORT"], config["SHOP_DIRECTORY"])


@click.command()
@with_appcontext
def show() -> None:
    """Show the payment records and the orders."""
    payments = Table("state", "amount", "phone", "third-party reference", "transaction ID",
                     "callbacks", title="Payment records")  # fmt: skip
    for record in db.session.scalars(db.select(Payment).order_by(Payment.id)):
        callbacks = db.select(PaymentCallback.verdict).filter_by(transaction_key=record.id)
        payments.add_row(
            record.state,
            str(record.amount),
            record.masked_msisdn,
            record.third_party_reference,
            record.transaction_id,
            ", ".join(db.session.scalars(callbacks)),
        )
    orders = Table("order", "total", "payment", "given back", "in the kitchen", title="Orders")
    for order in db.session.scalars(db.select(Order).order_by(Order.id)):
        payment = mpesa.standing(order.id)
        state, returned = (payment.state, str(payment.reversed_amount)) if payment else ("", "")
        in_kitchen = "yes" if order.in_kitchen_since else "no"
        orders.add_row(order.reference, str(order.total), state, returned, in_kitchen)
    Console(width=110).print(payments, orders)
