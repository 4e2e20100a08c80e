"""The test project's URLs, with views of a shop whose calls fail."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_mpesa import mpesa
from tests.support.reports import NUMBER

from .urls import urlpatterns as _urlpatterns


def pay(request: HttpRequest) -> HttpResponse:
    record = mpesa.c2b(msisdn=NUMBER, amount="150", reference="ORDER 7", idempotency_key="7")
    return HttpResponse(record.state)


def ask_name(request: HttpRequest) -> HttpResponse:
    return HttpResponse(mpesa.query_customer_name(msisdn=NUMBER).customer_name)


def reverse(request: HttpRequest) -> HttpResponse:
    return HttpResponse(mpesa.reverse(transaction_id="4XDF12345").state)


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("of the shop's own")


urlpatterns = [
    *_urlpatterns,
    path("pay/", pay),
    path("name/", ask_name),
    path("reverse/", reverse),
    path("fail/", fail),
]
