"""The shop's pages."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from django_mpesa import State
from django_mpesa.models import AbstractTransaction

from .cart import Cart
from .forms import CheckoutForm, PaymentForm, QuantityForm
from .models import Order, Product

_HEADINGS = {
    "new": _("It is not paid yet"),
    "waiting": _("Confirm on your phone with your PIN"),
    "checking": _("We are checking your payment"),
    "disputed": _("We are looking into your payment"),
    "returning": _("Your money is on its way back"),
    State.COMPLETED: _("Thank you, it is paid"),
    State.FAILED: _("It was not paid"),
    State.CANCELLED: _("You cancelled the payment"),
    State.PARTLY_REVERSED: _("We gave you a part of your money back"),
    State.REVERSED: _("We gave you your money back"),
}


@require_GET
def catalogue(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/catalogue.html", {"products": Product.objects.all()})


@require_GET
def basket(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/basket.html")


@require_POST
def put_in_basket(request: HttpRequest, product_id: int) -> HttpResponse:
    """Set a product's quantity, or without one add one more."""
    product = get_object_or_404(Product, pk=product_id)
    cart = Cart(request.session)
    form = QuantityForm(
        request.POST if "quantity" in request.POST else {"quantity": cart.quantity(product.pk) + 1}
    )
    if not form.is_valid():
        messages.error(request, gettext("The quantity must be a number from 0 to 20."))
        return redirect("basket")
    cart.put(product.pk, form.cleaned_data["quantity"])
    if "quantity" in request.POST:
        return redirect("basket")
    messages.success(request, gettext("%s is in your basket.") % gettext(product.name))
    return redirect("catalogue")


@require_http_methods(["GET", "POST"])
def checkout(request: HttpRequest) -> HttpResponse:
    cart = Cart(request.session)
    form = CheckoutForm(request.POST or None, initial={"basket": cart.token})
    if request.method == "POST" and form.is_valid():
        token = form.cleaned_data["basket"]
        placed = Order.objects.filter(token=token).first()
        if placed is None and token == cart.token and cart.lines:
            placed = Order.place(token, [(line.product, line.quantity) for line in cart.lines])
        if placed is not None:
            cart.clear()
            return _pay_or_show(request, placed, form)
        messages.error(
            request, gettext("Your basket has changed. Look at it again before you pay.")
        )
        return redirect("basket")
    if not cart.lines:
        return redirect("basket")
    return render(request, "shop/checkout.html", {"form": form})


@never_cache
@require_http_methods(["GET", "POST"])
def order(request: HttpRequest, token: UUID) -> HttpResponse:
    """Where an order stands; a POST tries to pay again what was not paid."""
    found = get_object_or_404(Order, token=token)
    return _pay_or_show(request, found, PaymentForm(request.POST or None))


def _pay_or_show(request: HttpRequest, order: Order, form: PaymentForm) -> HttpResponse:
    if form.is_valid() and form.pay(order):
        return redirect(order)
    payments = order.mpesa
    status = _status(payments.payment)
    context = {"order": order, "payments": payments, "form": form, "status": status}
    return render(request, "shop/order.html", {**context, "heading": _HEADINGS[status]})


def _status(payment: AbstractTransaction | None) -> str:
    """Where an order stands, as a word of `_HEADINGS`."""
    if payment is None:
        return "new"
    if payment.is_open:
        in_doubt = payment.state == State.UNKNOWN or payment.stuck_at or payment.conflict
        return "checking" if in_doubt else "waiting"
    if payment.state in (State.FAILED, State.CANCELLED) and not payment.may_retry:
        return "disputed"
    return "returning" if payment.reversal_pending else payment.state
