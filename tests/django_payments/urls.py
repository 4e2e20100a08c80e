"""The shop's pages: django-payments' own, and the two that its documentation asks for."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template import Context, Template
from django.urls import include, path
from payments import RedirectNeeded

_FORM = Template("<form method=post>{{ form.as_p }}<p>{{ payment.message }}</p></form>")


def pay(request: HttpRequest, pk: int) -> HttpResponse:
    from tests.django_payments.shop.models import Payment

    payment = get_object_or_404(Payment, pk=pk)
    try:
        form = payment.get_form(data=request.POST or None)
    except RedirectNeeded as redirect_to:
        return redirect(str(redirect_to))
    return HttpResponse(_FORM.render(Context({"form": form, "payment": payment})))


def thanks(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("Thank you")


urlpatterns: list[Any] = [
    path("pay/<int:pk>/", pay, name="pay"),
    path("thanks/<int:pk>/", thanks, name="thanks"),
    path("payments/", include("payments.urls")),
    path("mpesa/", include("django_mpesa.urls")),
]
