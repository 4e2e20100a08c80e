"""Payments and phone numbers in an API of Django REST framework."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import path
from django.utils import translation
from pytest_django import Settings

from django_mpesa import mpesa
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings

pytest.importorskip("rest_framework", reason="Django REST framework is not installed")

from rest_framework import generics, serializers
from rest_framework.test import APIRequestFactory

from django_mpesa.contrib.rest_framework import MsisdnField, PaymentSerializer


class PhoneSerializer(serializers.Serializer):  # type: ignore[misc] # DRF is not typed
    phone = MsisdnField()


class Pay(generics.CreateAPIView):  # type: ignore[misc]
    """Ask a phone, and say what came of it."""

    serializer_class = PhoneSerializer
    authentication_classes = ()

    def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        asked = PhoneSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        paid = mpesa.c2b(order="ORDER-7", msisdn=asked.validated_data["phone"], amount="150.00")
        return generics.views.Response(PaymentSerializer(paid).data)


class Show(generics.RetrieveAPIView):  # type: ignore[misc]
    """One payment."""

    serializer_class = PaymentSerializer
    queryset = PaymentSerializer.Meta.model._default_manager.all()


urlpatterns = [path("payments/<int:pk>/", Show.as_view()), path("pay/", Pay.as_view())]


def _post(phone: str) -> Any:
    return Pay.as_view()(APIRequestFactory().post("/", {"phone": phone}, format="json"))


@pytest.mark.django_db(transaction=True)
def test_a_payment_shows_no_whole_number_and_nothing_secret(simulator: Simulator) -> None:
    answer = _post("84 123 4567")
    assert answer.status_code == 200
    found = answer.data
    assert found["state"] == "completed"
    assert (found["amount"], found["currency"]) == ("150.00", "MZN")
    assert found["msisdn"] == "25884•••4567"
    assert found["message"] == "We have received 150.00 MZN. Thank you."
    assert found["is_paid"] is True
    payment = mpesa.paid("ORDER-7")
    assert payment is not None
    hidden = {payment.third_party_reference, payment.conversation_id, payment.msisdn}
    assert hidden.isdisjoint(map(str, found.values()))
    with translation.override("pt"):
        assert PaymentSerializer(payment).data["message"] == payment.customer_message("pt")


@pytest.mark.django_db(transaction=True)
def test_nothing_can_be_written_through_it(simulator: Simulator) -> None:
    payment = mpesa.c2b(order="ORDER-7", msisdn="84 000 0001", amount=5)
    changed = PaymentSerializer(payment, data={"state": "completed", "amount": 1})
    assert changed.is_valid()
    assert changed.validated_data == {}


@pytest.mark.parametrize(
    ("typed", "words"), [("my phone", "only digits"), ("", "blank"), ("86 123 4567", "84 or 85")]
)
def test_a_wrong_number_is_an_error_of_the_field(typed: str, words: str) -> None:
    answer = _post(typed)
    assert answer.status_code == 400
    assert words in answer.data["phone"][0]


def test_a_number_is_read_and_written(settings: Settings, simulator: Simulator) -> None:
    settings.MPESA = {"default": account_settings(simulator, MSISDN_PREFIXES="86")}
    read = PhoneSerializer(data={"phone": "86 123 4567"})
    assert read.is_valid()
    assert read.validated_data == {"phone": "258861234567"}
    assert PhoneSerializer({"phone": "258861234567"}).data == {"phone": "86 123 4567"}


def test_the_schema_is_clean(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("drf_spectacular")
    from drf_spectacular import generators, openapi
    from drf_spectacular.drainage import GENERATOR_STATS

    untyped: Any = generators, openapi
    SchemaGenerator, AutoSchema = untyped[0].SchemaGenerator, untyped[1].AutoSchema  # noqa: N806
    Pay.schema, Show.schema = AutoSchema(), AutoSchema()
    GENERATOR_STATS.reset()
    schema = SchemaGenerator(patterns=urlpatterns).get_schema(public=True)
    assert not GENERATOR_STATS, capsys.readouterr().err
    payment = schema["components"]["schemas"]["Payment"]["properties"]
    assert all(field["readOnly"] for field in payment.values())
    assert payment["is_open"]["type"] == "boolean"
    assert payment["message"]["type"] == "string"
