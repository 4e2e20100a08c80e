"""What is sent: checked, normalised, and in the gateway's own words."""

from __future__ import annotations

import re
import string
from decimal import Decimal
from typing import Any

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpesa_integrations import (
    ConfigurationError,
    MpesaClient,
    MpesaConfig,
    MsisdnError,
    ValidationError,
    normalise_msisdn,
)
from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.masking import mask_msisdn, mask_msisdns_in
from mpesa_integrations.core.protocol.schemas import amount_text, parse_amount
from mpesa_integrations.core.text import clean, plain

from .conftest import make_config

CLIENT = MpesaClient(make_config())
PAYMENT: dict[str, Any] = {"msisdn": "841234567", "amount": 10, "reference": "T1"}


@pytest.mark.parametrize(
    "typed",
    [
        "841234567",
        "84 123 4567",
        "84-123-4567",
        "(84) 123.4567",
        "+258841234567",
        "+258 84 123 4567",
        "00258841234567",
        "00 258 84 123 4567",
        "258841234567",
        "258 84 1234567",
        "  841234567\n",
        "084 123 4567",
        "0841234567",
        "(0)84 123 4567",
        "(+258) 84 123 4567",
        "+258 (0) 84 123 4567",
        "+258 084 123 4567",
        "2580841234567",
        "00258 084 123 4567",
        "\u202a+258 84 123 4567\u202c",
        "\u200e84\u00a0123\u202f4567\ufeff",
        "84\u200b123\u20604567",
        "84\u00ad123\u00ad4567",
        "\u206684 123 4567\u2069",
        "84\u2013123\u20144567",
        "84\u2011123\u22124567",
        "tel:+258841234567",
        "TEL:84-123-4567",
        "tel:+258-84-123-4567;ext=5",
        "tel:84%20123%204567",
        "tel:841234567;phone-context=+258",
        "tel:0841234567;isub=1;phone-context=+258",
        "\u202atel:841234567\u202c",
        "\uff18\uff14\uff11\uff12\uff13\uff14\uff15\uff16\uff17",  # full width
        "\uff0b\uff12\uff15\uff18 \uff08\uff18\uff14\uff09 1234567",
        "\u0668\u0664\u0661\u0662\u0663\u0664\u0665\u0666\u0667",  # Arabic
        "\u06f8\u06f4\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7",  # Persian
        "\u200f\u0662\u0665\u0668 84 1234567",
        841234567,
        258841234567,
    ],
)
def test_a_phone_number_is_taken_as_people_type_it(typed: object) -> None:
    assert normalise_msisdn(typed) == "258841234567"


@pytest.mark.parametrize(
    "typed",
    [
        "", "84123456", "8412345678", "821234567", "861234567", "+27841234567", "abc",
        "84CALLNOW", "84 123 4567 ext. 5", "258258841234567", True, 1.5,
        "84123456\u00b2", "84123456\u2460",
        "84 123 4567 / 85 123 4567", "84 123 4567, 85 123 4567", "tel:84123456", "tel:",
        "tel:841234567;phone-context=+27", "tel:tel:841234567", "fax:841234567", "00841234567",
        "25800841234567", "0084 123 4567", "25808412345678", "84\u2044123 4567", 10**100,
        None, "841234567;drop", "8" * 500, b"841234567", "84+1234567",
    ],
)  # fmt: skip
def test_another_phone_number_is_refused_without_being_repeated(typed: object) -> None:
    with pytest.raises(MsisdnError, match=r"84|text") as caught:
        normalise_msisdn(typed)
    if isinstance(typed, str) and len(typed) > 4:
        assert typed not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "english", "portuguese"),
    [
        ("my phone", "has only digits, as in 84 123 4567", "só tem algarismos, como 84 123 4567"),
        ("84 123 456", "nine digits, as in 84 123 4567; this one has 8.", "este tem 8."),
        ("84 123 45678", "this one has 10.", "este tem 10."),
        ("+258 84 123 456", "this one has 8.", "este tem 8."),
        ("084 123 456", "this one has 8.", "este tem 8."),
        (84123456, "this one has 8.", "este tem 8."),
        ("", "this one has 0.", "este tem 0."),
        ("86 123 4567", "begin with 84 or 85; this one begins with 86, "
         "which is Movitel's.", "começam por 84 ou 85; este começa por 86, que é da Movitel."),
        ("+258 82 123 4567", "begins with 82, which is Tmcel's.",
         "este começa por 82, que é da Tmcel."),
        ("880 123 456", "this one begins with 88.", "este começa por 88."),
        ("212345678", "this one begins with 21.", "este começa por 21."),
        ("+27 84 123 4567", "is on Mozambican numbers", "este é de outro país"),
        ("+841234567", "this one is of another country", "números moçambicanos"),
        (None, "as text, not as NoneType", "como texto, não como NoneType"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_phone_number_is_said_in_words(
    typed: object, english: str, portuguese: str
) -> None:
    with pytest.raises(MsisdnError) as caught:
        normalise_msisdn(typed)
    problem = caught.value.problem
    assert english in str(caught.value) == problem.in_language("en") == problem
    assert portuguese in problem.in_language("pt")


def test_the_accepted_prefixes_are_a_setting() -> None:
    client = MpesaClient(make_config(msisdn_prefixes=("86",)))
    assert client.prepare("c2b", **{**PAYMENT, "msisdn": "861234567"}).values["msisdn"] == (
        "258861234567"
    )
    with pytest.raises(ValidationError, match="begin with 86; this one begins with 84"):
        client.prepare("c2b", **PAYMENT)
    with pytest.raises(MsisdnError, match="86, 87 or 88; this one begins with 84") as caught:
        normalise_msisdn("84 123 4567", ("86", "87", "88"))
    assert "86, 87 ou 88; este" in caught.value.problem.in_language("pt")
    with pytest.raises(MsisdnError, match="as in 86 123 4567; this one has 2"):
        normalise_msisdn("12", ("86", "87", "88"))


def test_the_text_of_a_refused_number_shows_how_one_is_written() -> None:
    with pytest.raises(ValidationError) as caught:
        CLIENT.c2b(msisdn="84 765 432", amount=1, reference="T1")
    assert "nine digits, as in 84 123 4567; this one has 8." in str(caught.value)
    assert "84 765 432" not in str(caught.value)


def test_masking() -> None:
    assert mask_msisdn("258841234567") == "25884•••4567"
    assert mask_msisdn("841234567") == "•••"
    text = "Balance of 258841234567 and +258 85 765 4321, ref 0HOGE4LB841234567XX"
    assert mask_msisdns_in(text) == (
        "Balance of 25884•••4567 and 25885•••4321, ref 0HOGE4LB841234567XX"
    )
    for written in (
        "0841234567", "2580841234567", "+258 (0) 84 123 4567", "+258(84)1234567", "84/123/4567",
        "84  123  4567", "84--123--4567", "84 12 34 567", "84\u2011123\u20114567",
        "8 4 1 2 3 4 5 6 7", "84\u200b1234567", "\u202a841234567\u202c",
        "\uff18\uff14\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
        "+\u0662\u0665\u0668 \u0668\u0664 \u0661\u0662\u0663 \u0664\u0665\u0666\u0667",
    ):  # fmt: skip
        assert "25884•••4567" in mask_msisdns_in(f"of {written}, 2026-11-25 10:00."), written
    for other in (
        "paid 1 250.00 MZN on 8/4/2026",
        "0HOI4VX07KWAS9C2ENJC",
        "AG_20180206_00005e7dcc",
    ):
        assert mask_msisdns_in(other) == other


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (10, "10"),
        ("10", "10"),
        ("10.5", "10.50"),
        ("0.01", "0.01"),
        ("007", "7"),
        (Decimal("10.50"), "10.50"),
        (Decimal("1E+2"), "100"),
        (Decimal("10.5000"), "10.50"),
        ("999999999999.99", "999999999999.99"),
    ],
)
def test_an_amount_is_sent_as_plain_decimal_text(given: Any, sent: str) -> None:
    request = CLIENT.prepare("c2b", **{**PAYMENT, "amount": given})
    assert request.parameters["input_Amount"] == sent
    assert request.values["amount"] == Decimal(sent)


@pytest.mark.parametrize(
    "amount",
    [
        0, -1, "0", "0.00", "-1", "+1", "1e3", "1,50", "1.000", "10.001", "", "ten", " ", "1_000",
        Decimal("0.001"), Decimal("NaN"), Decimal("Infinity"), Decimal(0), 10**12, "9" * 5000,
        Decimal("1E+999999"), 1.5, 10.0, True, b"10", [10],
    ],
)  # fmt: skip
def test_another_amount_is_refused(amount: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        CLIENT.prepare("c2b", **{**PAYMENT, "amount": amount})
    assert list(caught.value.errors) == ["amount"]
    if isinstance(amount, float):
        assert "float" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": "x" * 21}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": 7.0}, "reference"),
        ({"reference": True}, "reference"),
        ({"reference": Decimal(7)}, "reference"),
        ({"reference": b"ORDER"}, "reference"),
        ({"reference": 10**20}, "reference"),
        ({"reference": 10**100}, "reference"),
        ({"reference": "\u200b\u202a"}, "reference"),
        ({"reference": "a\u2028b"}, "reference"),
        ({"reference": None}, "reference"),
        ({"third_party_reference": "a-b"}, "third_party_reference"),
        ({"third_party_reference": "x" * 21}, "third_party_reference"),
        ({"third_party_reference": ""}, "third_party_reference"),
    ],
)
def test_a_wrong_reference_is_refused_by_name(changes: dict[str, Any], argument: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CLIENT.prepare("c2b", **{**PAYMENT, **changes})
    assert list(caught.value.errors) == [argument]
    assert caught.value.result is None
    if isinstance(changes[argument], (bool, float, Decimal, bytes)):
        assert f"not {type(changes[argument]).__name__}" in str(caught.value)
        _said_in_portuguese_as_well(caught.value)


@pytest.mark.parametrize(
    ("argument", "given", "sent"),
    [
        ("reference", 12345, "12345"),
        ("reference", " ORDER 7", "ORDER 7"),
        ("reference", "\u202aORDER\u00a07\u202c", "ORDER 7"),
        ("reference", "OR\u200bDER\ufeff 7\u00a0", "ORDER 7"),
        (
            "reference",
            "FACTURA N\u00ba 7 \u2013 A\u00e7\u00e3o",
            "FACTURA N\u00ba 7 \u2013 A\u00e7\u00e3o",
        ),
        ("third_party_reference", 12345, "12345"),
        ("third_party_reference", "\u200eABC\uff11\u200b23 ", "ABC123"),
        ("amount", "\u202a150\u202c", "150"),
        ("amount", "\u0661\u0665\u0660", "150"),
    ],
)
def test_what_is_pasted_is_freed_of_what_cannot_be_seen(
    argument: str, given: object, sent: str
) -> None:
    names = {
        "reference": "input_TransactionReference",
        "third_party_reference": "input_ThirdPartyReference",
        "amount": "input_Amount",
    }
    request = CLIENT.prepare("c2b", **{**PAYMENT, argument: given})
    assert request.parameters[names[argument]] == sent


def test_shortcodes_and_ids_are_cleaned_as_well() -> None:
    paid = CLIENT.prepare("b2b", receiver_shortcode=979797, amount=1, reference=7)
    assert paid.parameters["input_ReceiverPartyCode"] == "979797"
    paid = CLIENT.prepare("b2b", receiver_shortcode="\u200e97979\u0667", amount=1, reference=7)
    assert paid.parameters["input_ReceiverPartyCode"] == "979797"
    back = CLIENT.prepare("reversal", transaction_id="\ufeff4XDF12345\u200b")
    assert back.parameters["input_TransactionID"] == "4XDF12345"


@pytest.mark.parametrize("text", ["AG.2026:1", "a/b?c=d&e", "x" * 100])
def test_the_gateways_ids_may_have_any_shape(text: str) -> None:
    assert (
        CLIENT.prepare("query_transaction_status", query_reference=text).values["query_reference"]
        == text
    )
    assert CLIENT.prepare("reversal", transaction_id=text).values["transaction_id"] == text


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "\u00e7", "x" * 101])
def test_what_is_no_id_of_the_gateways_is_refused(text: str) -> None:
    for operation, argument in (
        ("query_transaction_status", "query_reference"), ("reversal", "transaction_id"),
    ):  # fmt: skip
        with pytest.raises(ValidationError) as caught:
            CLIENT.prepare(operation, **{argument: text})
        assert list(caught.value.errors) == [argument]


def test_all_wrong_arguments_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        CLIENT.c2b(msisdn="12", amount=0, reference="")
    assert set(caught.value.errors) == {"msisdn", "amount", "reference"}
    assert str(caught.value).startswith("Nothing was sent")


@pytest.mark.parametrize(
    ("operation", "arguments", "parameters"),
    [
        (
            "c2b",
            PAYMENT,
            {
                "input_TransactionReference": "T1",
                "input_CustomerMSISDN": "258841234567",
                "input_Amount": "10",
                "input_ThirdPartyReference": "REF1",
                "input_ServiceProviderCode": "171717",
            },
        ),
        (
            "b2b",
            {"receiver_shortcode": "979797", "amount": "9.90", "reference": "T2"},
            {
                "input_TransactionReference": "T2",
                "input_Amount": "9.90",
                "input_ThirdPartyReference": "REF1",
                "input_PrimaryPartyCode": "171717",
                "input_ReceiverPartyCode": "979797",
            },
        ),
        (
            "reversal",
            {"transaction_id": "4XDF12345", "amount": 5},
            {
                "input_TransactionID": "4XDF12345",
                "input_SecurityCredential": "Mpesa2019-secret-credential",
                "input_InitiatorIdentifier": "MPesa2018",
                "input_ThirdPartyReference": "REF1",
                "input_ServiceProviderCode": "171717",
                "input_ReversalAmount": "5",
            },
        ),
        (
            "query_transaction_status",
            {"query_reference": "AG_20180206_00005e7dccc6da08efa8"},
            {
                "input_QueryReference": "AG_20180206_00005e7dccc6da08efa8",
                "input_ServiceProviderCode": "171717",
                "input_ThirdPartyReference": "REF1",
            },
        ),
        (
            "query_customer_name",
            {"msisdn": "84 123 4567"},
            {
                "input_CustomerMSISDN": "258841234567",
                "input_ServiceProviderCode": "171717",
                "input_ThirdPartyReference": "REF1",
            },
        ),
    ],
)
def test_the_parameters_are_the_documented_ones(
    operation: str, arguments: dict[str, Any], parameters: dict[str, str]
) -> None:
    request = CLIENT.prepare(operation, third_party_reference="REF1", **arguments)
    assert dict(request.parameters) == parameters


def test_a_full_reversal_names_no_amount() -> None:
    request = CLIENT.prepare("reversal", transaction_id="4XDF12345", amount=None)
    assert "input_ReversalAmount" not in request.parameters


@pytest.mark.parametrize("setting", ["initiator_identifier", "security_credential"])
def test_a_reversal_without_its_settings_is_told(setting: str) -> None:
    client = MpesaClient(make_config(**{setting: None}))
    with pytest.raises(ConfigurationError, match=setting) as caught:
        client.reverse(transaction_id="4XDF12345")
    assert caught.value.setting == setting


def test_no_secret_shows_in_a_prepared_request() -> None:
    text = repr(CLIENT.prepare("reversal", transaction_id="4XDF12345"))
    assert "secret-credential" not in text
    assert "258841234567" not in repr(CLIENT.prepare("c2b", **PAYMENT))


def test_references_are_unique_and_sort_by_time() -> None:
    references = [new_third_party_reference() for _ in range(5000)]
    assert len(set(references)) == len(references)
    assert all(re.fullmatch(r"[0-9A-Z]{20}", reference) for reference in references)
    stamps = [reference[:11] for reference in references]
    assert stamps == sorted(stamps)


@given(st.integers(1, 10**14 - 1))
def test_every_amount_of_centavos_survives_the_way_out_and_back(centavos: int) -> None:
    amount = Decimal(centavos).scaleb(-2)
    text = amount_text(amount)
    assert parse_amount(text) == amount
    assert re.fullmatch(r"[0-9]{1,12}(\.[0-9]{2})?", text)


_typed = (
    st.text(alphabet=string.digits + " +-()./", max_size=24)
    | st.from_regex(
        r"(\+258|00258|258|0|\(0\))?[ -]?8[2-7][ -]?[0-9]{3}[ .]?[0-9]{3,5}", fullmatch=True
    )
    | st.text(max_size=24)
    | st.integers()
)  # fmt: skip
_SPACES = "\u00a0 "
_MARKS = "\u202a\u202c\u200b\u200e\u200f\u2060\u2066\u2069\ufeff\u00ad" + _SPACES
_DIGITS_OF = ["0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669",
              "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19"]  # fmt: skip


@given(text=st.text(max_size=40) | st.text(alphabet=_MARKS + "8412 3-\uff18\u0668", max_size=40))
def test_cleaning_is_idempotent(text: str) -> None:
    for cleaning in (clean, plain):
        assert cleaning(cleaning(text)) == cleaning(text)


@given(
    number=st.from_regex(r"8[45][0-9]{7}", fullmatch=True),
    prefix=st.sampled_from(
        ["", "0", "258", "+258", "00258", "2580", "+258(0)", "tel:", "tel:+258"]
    ),
    digits=st.sampled_from(_DIGITS_OF),
    marks=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(_MARKS)), max_size=6),
)
@example(
    number="840000000",
    prefix="tel:",
    digits="0123456789",
    marks=[(0, "\u202a"), (0, "\u202a"), (0, "\u00a0")],
)
def test_however_a_number_is_pasted_it_stays_the_same_number(
    number: str, prefix: str, digits: str, marks: list[tuple[int, str]]
) -> None:
    typed = prefix + "".join(digits[int(digit)] for digit in number)
    for place, mark in sorted(marks, key=lambda found: found[1] not in _SPACES):
        if mark in _SPACES:  # before any other mark moves the prefix
            place = max(place, len(prefix) + 1)  # no space inside tel:
        typed = typed[:place] + mark + typed[place:]
    assert normalise_msisdn(typed) == "258" + number


@given(typed=_typed)
def test_what_is_accepted_is_what_a_library_for_all_countries_reads(typed: str | int) -> None:
    try:
        found = normalise_msisdn(typed)
    except MsisdnError:
        return
    assert re.sub(r"[^0-9]", "", plain(str(typed))).endswith(found[3:])
    read = phonenumbers.parse(f"+{found}")
    assert (read.country_code, phonenumbers.is_valid_number(read)) == (258, True)


@given(typed=_typed, prefixes=st.lists(st.from_regex(r"8[2-7]", fullmatch=True), min_size=1))
def test_a_number_is_normalised_once_and_for_all_or_refused_without_being_repeated(
    typed: str | int, prefixes: list[str]
) -> None:
    try:
        found = normalise_msisdn(typed, prefixes)
    except MsisdnError as error:
        english, portuguese = str(error), error.problem.in_language("pt")
    else:
        assert re.fullmatch(r"258[0-9]{9}", found)
        assert found[3:5] in prefixes
        assert normalise_msisdn(found, prefixes) == found
        return
    assert english != portuguese
    for said in (english, portuguese):
        assert not re.search(r"[0-9]{7}", said)
        assert not re.search(r"[0-9]{7}", re.sub(r"8[2-7] 123 4567", "", said).replace(" ", ""))


def _said_in_portuguese_as_well(error: ValidationError) -> None:
    said = error.errors_in("pt-MZ")
    assert list(said) == list(error.errors)
    assert not [text for problems in said.values() for text in problems if text in str(error)]


_FORMATS = {
    "input_TransactionReference": r"(?s).{1,20}",
    "input_CustomerMSISDN": r"2588[45][0-9]{7}",
    "input_Amount": r"[0-9]{1,12}(\.[0-9]{2})?",
    "input_ReversalAmount": r"[0-9]{1,12}(\.[0-9]{2})?",
    "input_ThirdPartyReference": r"[A-Za-z0-9]{1,20}",
    "input_ReceiverPartyCode": r"[0-9]{5,6}",
    "input_TransactionID": r"[!-~]{1,100}",
    "input_QueryReference": r"[!-~]{1,100}",
}
_value = (
    st.none() | st.integers() | st.decimals() | st.floats() | st.booleans() | st.text(max_size=30)
    | st.from_regex(r"8[45][0-9]{7}", fullmatch=True) | st.from_regex(r"[0-9]{5}", fullmatch=True)
    | st.lists(st.integers(), max_size=2)
)  # fmt: skip


@given(
    operation=st.sampled_from(list(OPERATIONS)),
    arguments=st.dictionaries(
        st.sampled_from([
            "msisdn", "amount", "reference", "third_party_reference", "receiver_shortcode",
            "transaction_id", "query_reference", "nonsense",
        ]),
        _value,
    ),
)  # fmt: skip
def test_no_argument_makes_anything_but_a_validation_error_or_a_right_request(
    operation: str, arguments: dict[str, Any]
) -> None:
    try:
        request = CLIENT.prepare(operation, **arguments)
    except ValidationError as error:
        _said_in_portuguese_as_well(error)
        return
    for name, value in request.parameters.items():
        assert isinstance(value, str)
        if name in _FORMATS:
            assert re.fullmatch(_FORMATS[name], value)


def test_the_renewed_configuration_is_checked() -> None:
    client = MpesaClient(make_config())
    with pytest.raises(ConfigurationError, match="api_key"):
        client.renew(api_key="")
    by_function = MpesaClient(lambda: make_config())
    with pytest.raises(ConfigurationError, match="function"):
        by_function.renew(api_key="k" * 32)
    assert isinstance(by_function.config, MpesaConfig)
