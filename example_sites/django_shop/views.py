"""The shop's pages."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from .cart import Cart
from .forms import CheckoutForm, QuantityForm, RetryForm
from .models import Order, Product, Status
from .payments import pay, reason_of

_TEMPLATES = {
    Status.NEW: "shop/order_refused.html",
    Status.WAITING: "shop/order_waiting.html",
    Status.CHECKING: "shop/order_checking.html",
    Status.PAID: "shop/order_paid.html",
    Status.REFUSED: "shop/order_refused.html",
    Status.CANCELLED: "shop/order_cancelled.html",
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
        messages.error(request, _("The quantity must be a number from 0 to 20."))
        return redirect("basket")
    cart.put(product.pk, form.cleaned_data["quantity"])
    if "quantity" in request.POST:
        return redirect("basket")
    messages.success(request, _("%s is in your basket.") % _(product.name))
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
            pay(placed, attempt=1, msisdn=form.cleaned_data["msisdn"])
            return redirect(placed)
        messages.error(request, _("Your basket has changed. Look at it again before you pay."))
        return redirect("basket")
    if not cart.lines:
        return redirect("basket")
    return render(request, "shop/checkout.html", {"form": form})


@never_cache
@require_http_methods(["GET", "POST"])
def order(request: HttpRequest, token: UUID) -> HttpResponse:
    """Where an order stands; a POST tries to pay again what was not paid."""
    found = get_object_or_404(Order.objects.select_related("payment"), token=token)
    form = RetryForm(request.POST or None, initial={"attempt": found.attempts + 1})
    if request.method == "POST" and form.is_valid():
        pay(found, attempt=form.cleaned_data["attempt"], msisdn=form.cleaned_data["msisdn"])
        return redirect(found)
    template = _TEMPLATES[Status(found.status)]
    return render(request, template, {"order": found, "form": form, "reason": reason_of(found)})


@never_cache
@require_GET
def order_status(request: HttpRequest, token: UUID) -> HttpResponse:
    """Where an order stands, for the script of the waiting page."""
    found = get_object_or_404(Order, token=token)
    return JsonResponse({"status": found.status, "message": found.get_status_display()})
