"""A phone number in a form of WTForms."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from flask_babel import Babel
from werkzeug.datastructures import FileStorage, MultiDict
from wtforms import Form
from wtforms.validators import DataRequired, Optional

from flask_mpesa.forms import MsisdnField


class PhoneForm(Form):  # type: ignore[misc] # WTForms is not typed
    phone = MsisdnField("Phone", [DataRequired("Type a number.")])
    other = MsisdnField("Other", [Optional()])


def _form(form: Any = PhoneForm, **typed: str) -> Any:
    made = form(MultiDict(typed))
    made.validate()
    return made


@pytest.mark.parametrize("typed", ["84 123 4567", "+258 84 123 4567", "0841234567", "258841234567"])
def test_what_people_type_becomes_the_gateways_form(typed: str) -> None:
    form = _form(phone=typed, other="")
    assert not form.errors
    assert (form.phone.data, form.other.data) == ("258841234567", "")


def test_what_is_wrong_is_said_and_stays_as_it_was_typed() -> None:
    form = _form(phone="86 123 4567", other="my phone")
    assert "begin with 84 or 85" in form.errors["phone"][0]
    assert "only digits" in form.errors["other"][0]
    assert 'value="my phone"' in form.other()
    assert _form(other="").errors == {"phone": ["Type a number."]}


def test_a_file_in_the_place_of_a_number_is_none() -> None:
    form = PhoneForm(MultiDict({"phone": FileStorage(filename="x"), "other": ""}))
    assert not form.validate()
    assert "only digits" in form.errors["phone"][0]
    assert 'name="phone"' in form.phone()


def test_the_input_brings_up_a_phones_keys_and_shows_a_number_as_people_write_it() -> None:
    shown = PhoneForm(data={"phone": "258841234567"}).phone(maxlength=40)
    for attribute in (
        'type="tel"', 'inputmode="tel"', 'autocomplete="tel"', 'value="84 123 4567"',
    ):  # fmt: skip
        assert attribute in shown


def test_the_language_is_the_pages_or_the_forms_own() -> None:
    class Portuguese(PhoneForm):
        class Meta:
            locales = ("pt_MZ", "en")

    said = "só tem algarismos"
    assert said in _form(Portuguese, phone="my phone").errors["phone"][0]
    app = Flask("shop")
    Babel(app, locale_selector=lambda: request.args.get("lang", "en"))
    with app.test_request_context("/?lang=pt"):
        assert said in _form(phone="my phone").errors["phone"][0]


def test_where_flask_babel_is_there_and_not_set_up_the_language_is_the_forms_own() -> None:
    app = Flask("shop")
    with app.test_request_context("/?lang=pt"):
        assert "only digits" in _form(phone="my phone").errors["phone"][0]


def test_other_prefixes_are_accepted_where_they_are_named() -> None:
    class Movitel(Form):  # type: ignore[misc]
        phone = MsisdnField(prefixes=("86",))

    assert _form(Movitel, phone="86 123 4567").phone.data == "258861234567"
