"""Phone numbers in a shop's own forms and models, and what templates say of payments."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models.functions import Concat
from django.template import Context, Template
from django.test.utils import isolate_apps
from django.utils import translation
from pytest_django import Settings

from django_mpesa import mpesa
from django_mpesa.forms import MsisdnField
from django_mpesa.modelfields import MsisdnField as MsisdnColumn
from mpesa_integrations.simulator import Simulator
from tests.support.account import account_settings


class PhoneForm(forms.Form):
    phone = MsisdnField()
    other = MsisdnField(required=False)


@pytest.mark.parametrize("typed", ["84 123 4567", "+258 84 123 4567", "0841234567", "258841234567"])
def test_what_people_type_is_cleaned_to_the_gateways_form(typed: str) -> None:
    form = PhoneForm({"phone": typed, "other": " "})
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {"phone": "258841234567", "other": ""}


@pytest.mark.parametrize(
    ("language", "words"), [("en", "digits, as in 84 123 4567"), ("pt", "algarismos")]
)
def test_what_is_wrong_is_said_in_the_visitors_language(language: str, words: str) -> None:
    with translation.override(language):
        form = PhoneForm({"phone": "my phone"})
        assert words in str(form.errors["phone"])
        assert 'value="my phone"' in str(form["phone"])
        assert "84 123 4567" in str(PhoneForm({}).errors["phone"])


def test_the_input_brings_up_a_phones_keys_and_shows_a_number_as_people_write_it() -> None:
    shown = str(PhoneForm(initial={"phone": "258841234567"})["phone"])
    for attribute in (
        'type="tel"', 'inputmode="tel"', 'autocomplete="tel"', 'value="84 123 4567"',
    ):  # fmt: skip
        assert attribute in shown
    assert "maxlength" in shown


def test_the_accounts_own_prefixes_are_accepted(settings: Settings, simulator: Simulator) -> None:
    assert not PhoneForm({"phone": "86 123 4567"}).is_valid()
    settings.MPESA = {"default": account_settings(simulator, MSISDN_PREFIXES="84,86")}
    assert PhoneForm({"phone": "86 123 4567"}).is_valid()
    settings.MPESA = {}
    assert PhoneForm({"phone": "84 123 4567"}).is_valid()


@pytest.fixture
def customer_model(transactional_db: None) -> Iterator[Any]:
    with isolate_apps("tests.django"):

        class Customer(models.Model):
            phone = MsisdnColumn(blank=True)

            class Meta:
                app_label = "tests.django"

        with connection.schema_editor() as editor:
            editor.create_model(Customer)
        yield Customer
        with connection.schema_editor() as editor:
            editor.delete_model(Customer)


def test_a_model_keeps_the_gateways_form_however_a_number_was_assigned(customer_model: Any) -> None:
    customer = customer_model.objects.create(phone="84 123 4567")
    assert customer.phone == "258841234567"
    (kept,) = customer_model.objects.filter(phone="258841234567")
    kept.phone = "+258 85 765 4321"
    kept.full_clean()
    kept.save()
    customer.refresh_from_db()
    assert customer.phone == "258857654321"
    assert customer_model.objects.create(phone="").phone == ""
    with pytest.raises(ValidationError, match="nine digits"):
        customer_model(phone="84 123").full_clean()
    with pytest.raises(ValidationError, match="nine digits"):
        customer_model.objects.create(phone="84 123")
    assert customer_model.objects.count() == 2


def test_a_query_for_what_is_no_number_finds_none(customer_model: Any) -> None:
    kept = customer_model.objects.create(phone="84 123 4567")
    assert not customer_model.objects.filter(phone="junk").exists()
    assert customer_model.objects.exclude(phone="84 12").get() == kept
    assert customer_model.objects.get(phone__in=["junk", "84 123 4567"]) == kept
    customer_model.objects.update(phone="+258 85 765 4321")
    with pytest.raises(ValidationError, match="nine digits"):
        customer_model.objects.update(phone="84 12")
    kept.phone = "84 12"
    with pytest.raises(ValidationError, match="nine digits"):
        customer_model.objects.bulk_update([kept], ["phone"])
    assert customer_model.objects.get().phone == "258857654321"


def test_a_column_may_be_assigned_what_the_database_works_out(customer_model: Any) -> None:
    kept = customer_model.objects.create(phone="84 123 4567")
    kept.phone = Concat(models.F("phone"), models.Value(""))
    kept.save()
    kept.refresh_from_db()
    assert kept.phone == "258841234567"


def test_a_models_form_takes_and_shows_a_number_as_people_write_it(customer_model: Any) -> None:
    Form = forms.modelform_factory(customer_model, fields=["phone"])  # noqa: N806
    customer = customer_model.objects.create(phone="258841234567")
    assert 'value="84 123 4567"' in str(Form(instance=customer)["phone"])
    assert 'type="tel"' in str(Form(instance=customer)["phone"])
    form = Form({"phone": "0857654321"}, instance=customer)
    assert form.is_valid(), form.errors
    assert form.save().phone == "258857654321"


@isolate_apps("tests.django")
def test_a_column_too_short_for_a_number_is_found_by_the_checks() -> None:
    class Short(models.Model):
        phone = MsisdnColumn(max_length=9)

        class Meta:
            app_label = "tests.django"

    (found,) = Short.check()
    assert found.id == "mpesa.E035"
    assert "takes 12" in found.msg
    assert MsisdnColumn().deconstruct()[3] == {"max_length": 12}


def _rendered(text: str, **context: Any) -> str:
    return Template("{% load mpesa %}" + text).render(Context(context)).replace("\xa0", " ")


@pytest.mark.parametrize(("language", "expected"), [("en", "1,250.50 MZN"), ("pt", "1.250,50 MZN")])
def test_an_amount_is_written_as_the_language_does(language: str, expected: str) -> None:
    with translation.override(language):
        assert _rendered("{{ a|meticais }}", a=Decimal("1250.5")) == expected
        assert _rendered("{{ a|meticais }}{{ b|meticais }}", a=None) == ""


@pytest.mark.django_db(transaction=True)
def test_a_page_tells_the_customer_in_the_language_of_the_page(simulator: Simulator) -> None:
    payment = mpesa.c2b(order="O-1", msisdn="84 123 4567", amount=5)
    with translation.override("pt"):
        told = _rendered("{{ p|customer_message }}{{ none|customer_message }}", p=payment)
    assert told == payment.customer_message("pt") != payment.customer_message("en")
    assert _rendered("{{ p.msisdn|msisdn }}, {{ none|msisdn }}", p=payment) == "84 123 4567, "
