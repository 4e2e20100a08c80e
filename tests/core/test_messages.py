"""Messages: English as text, Portuguese on request, whatever language a browser asks for."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from mpesa_integrations import MpesaClient, ValidationError
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.markets.mozambique.operations import PaymentRequestSchema
from mpesa_integrations.core.messages import Message

from .conftest import make_config

ENGLISH = {
    "amount": ["must not be a float, which is not exact: give a Decimal, an int or text"],
    "msisdn": [
        "M-Pesa is on numbers that begin with 84 or 85; this one begins with 86, which is "
        "Movitel's."
    ],
    "nonsense": ["is no argument of this call"],
    "reference": ["is missing"],
}
PORTUGUESE = {
    "amount": ["não pode ser um float, que não é exato: dê um Decimal, um int ou texto"],
    "msisdn": [
        "O M-Pesa funciona em números que começam por 84 ou 85; este começa por 86, que é da "
        "Movitel."
    ],
    "nonsense": ["não é um argumento desta chamada"],
    "reference": ["está em falta"],
}


@pytest.fixture
def error() -> ValidationError:
    client = MpesaClient(make_config())
    with pytest.raises(ValidationError) as caught:
        client.prepare("c2b", msisdn="86 123 4567", amount=1.5, nonsense=1)
    return caught.value


@pytest.mark.parametrize("language", ["pt", "pt-MZ", "pt_BR", "PT", "pt_PT.UTF-8"])
def test_messages_in_portuguese(error: ValidationError, language: str) -> None:
    assert error.errors_in(language) == PORTUGUESE


@pytest.mark.parametrize("language", [None, "", "en", "fr", "p", "../pt", "\0", "*", "x" * 5000])
def test_messages_in_a_language_that_there_is_not(
    error: ValidationError, language: str | None
) -> None:
    assert error.errors_in(language) == ENGLISH == error.errors


def test_the_errors_own_text_is_english(error: ValidationError) -> None:
    assert json.loads(json.dumps(error.errors)) == ENGLISH
    assert str(error).startswith("Nothing was sent. ")
    assert "reference: is missing." in str(error)
    assert ".." not in str(error)


def test_messages_outlive_a_copy_and_a_pickle(error: ValidationError) -> None:
    for one in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert one.errors == ENGLISH
        assert one.errors_in("pt") == PORTUGUESE


def test_no_field_of_a_request_speaks_marshmallows_english() -> None:
    schema = PaymentRequestSchema(numbering=MOZAMBIQUE.numbering)
    none = dict.fromkeys(schema.fields)
    errors = schema.validate(none)
    assert errors == {name: ["is missing"] for name in none}


def test_a_value_is_not_taken_for_words() -> None:
    assert Message("must be %(what)s", what="100%s").in_language("pt") == "must be 100%s"
    assert Message("100% wrong").in_language("pt") == "100% wrong"
