"""A shop whose views are coroutines, and one that is not."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_mpesa import CalledInEventLoop, mpesa

KEPT: set[asyncio.Future[Any]] = set()


def _payment(order: str) -> dict[str, Any]:
    return {"msisdn": "84 123 4567", "amount": "150.00", "order": order}


async def pay(request: HttpRequest, order: str) -> HttpResponse:
    return HttpResponse((await mpesa.ac2b(**_payment(order))).state)


async def pay_later(request: HttpRequest, order: str) -> HttpResponse:
    """Leave a task behind that outlives the request."""
    await mpesa.astanding(order)
    KEPT.add(asyncio.ensure_future(mpesa.ac2b(**_payment(order))))
    return HttpResponse("later")


async def blocking(request: HttpRequest, order: str) -> HttpResponse:
    try:
        return HttpResponse(mpesa.c2b(**_payment(order)).state)
    except CalledInEventLoop as error:
        return HttpResponse(str(error))


def in_a_thread(request: HttpRequest, order: str) -> HttpResponse:
    return HttpResponse(mpesa.c2b(**_payment(order)).state)


urlpatterns = [
    path("pay/<order>", pay),
    path("later/<order>", pay_later),
    path("blocking/<order>", blocking),
    path("thread/<order>", in_a_thread),
]
