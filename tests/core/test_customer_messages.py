"""What a customer is told: in each state, after each code, in two languages, without a number."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpesa_integrations import CODES, State
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.payments.customer_messages import advice_for, customer_message
from mpesa_integrations.core.payments.records import NOT_SENT_IN_TIME, WITHDRAWN
from mpesa_integrations.core.protocol.codes import Advice

from .conftest import make_record

# What a customer can do after each code, typed out.
ADVICE = """
phone_at_hand   INS-0 INS-9
check_pin       INS-6
wait            INS-1 INS-16 INS-23
add_money       INS-2006
check_number    INS-2051
other_number    INS-993 INS-994
operators_shop  INS-995 INS-996
not_now         INS-2 INS-4 INS-13 INS-14 INS-15 INS-17 INS-18 INS-19 INS-20 INS-21 INS-22 INS-24
not_now         INS-25 INS-26 INS-997 INS-998 INS-2001 INS-2002 INS-2057
try_again       INS-5 INS-10
"""
MOVED = "a success that came after a failure"
# The state and what else is in the record, then words of what is read; * is any operation.
READ = [
    ("c2b", State.QUEUED, {}, "about to ask M-Pesa for your payment of 150.00 MZN",
     "pedir agora ao M-Pesa o seu pagamento de 150,00 MZN"),
    ("c2b", State.FAILED, {"response_description": NOT_SENT_IN_TIME}, "payment in time. No money",
     "ao M-Pesa a tempo. Não foi cobrado nada"),
    ("c2b", State.CANCELLED, {"response_description": WITHDRAWN}, "taken back before M-Pesa",
     "retirado antes de ser pedido"),
    ("c2b", State.CANCELLED, {"response_description": WITHDRAWN, "conflict": MOVED},
     "do not pay again", "não pague outra vez"),
    ("b2c", State.QUEUED, {}, "about to send you 150.00 MZN", "Vamos enviar-lhe agora 150,00 MZN"),
    ("b2c", State.FAILED, {"response_description": NOT_SENT_IN_TIME},
     "We could not send you 150.00 MZN. Please contact us.", "Contacte-nos"),
    ("b2b", State.CANCELLED, {"response_description": WITHDRAWN},
     "We have not sent you 150.00 MZN. Please contact us.", "Não lhe enviámos 150,00 MZN"),
    ("reversal", State.QUEUED, {}, "about to give 150.00 MZN back", "Vamos devolver-lhe agora"),
    ("reversal", State.CANCELLED, {"response_description": WITHDRAWN},
     "We have not given 150.00 MZN back to you. Please", "Não lhe devolvemos 150,00 MZN"),
    ("c2b", State.INITIATED, {}, "type your M-Pesa PIN", "escreva lá o PIN do M-Pesa"),
    ("c2b", State.PENDING, {}, "PIN there to pay 150.00 MZN", "para pagar 150,00 MZN"),
    ("c2b", State.PENDING, {"conflict": "a duplicate"}, "do not pay again", "não pague outra vez"),
    ("c2b", State.PENDING, {"stuck_at": datetime.now(timezone.utc)}, "do not pay again",
     "não pague outra vez"),
    ("c2b", State.UNKNOWN, {}, "Please wait, and do not pay again", "não pague outra vez"),
    ("c2b", State.COMPLETED, {}, "received 150.00 MZN", "Recebemos 150,00 MZN"),
    ("c2b", State.COMPLETED, {"conflict": "a refusal"}, "received 150.00 MZN", "Recebemos"),
    ("c2b", State.PARTLY_REVERSED, {"reversed_amount": Decimal("50.5")}, "you 50.50 MZN of it back",
     "já lhe devolvemos 50,50 MZN"),
    ("c2b", State.COMPLETED, {"reversal_pending": Decimal("50.5")},
     "You paid 150.00 MZN. We are giving 50.50 MZN back to you.",
     "Pagou 150,00 MZN. Estamos a devolver-lhe 50,50 MZN."),
    ("c2b", State.PARTLY_REVERSED,
     {"reversed_amount": Decimal(50), "reversal_pending": Decimal("0.5")},
     "given you 50.00 MZN of it back, and are giving back 0.50 MZN more.",
     "já lhe devolvemos 50,00 MZN, e estamos a devolver-lhe mais 0,50 MZN."),
    ("c2b", State.REVERSED, {}, "given 150.00 MZN back", "Já lhe devolvemos 150,00 MZN"),
    ("c2b", State.CANCELLED, {"response_code": "INS-5"}, "was cancelled, and no money was taken",
     "foi cancelado e não foi cobrado nada"),
    ("c2b", State.FAILED, {"response_code": "INS-2006"}, "not enough money in your M-Pesa account",
     "saldo suficiente"),
    ("c2b", State.FAILED, {"response_code": "INS-6"}, "No money was taken.",
     "Não foi cobrado nada."),
    ("c2b", State.FAILED, {"conflict": MOVED}, "do not pay again", "não pague outra vez"),
    ("c2b", State.CANCELLED, {"conflict": MOVED}, "do not pay again", "não pague outra vez"),
    ("c2b", State.FAILED, {"conflict": MOVED, "conflict_decided_at": datetime.now(timezone.utc),
     "response_code": "INS-6"}, "the PIN was not right", "o PIN não estava certo"),
    ("b2c", State.PENDING, {}, "We are sending you 150.00 MZN", "enviar-lhe 150,00 MZN"),
    ("b2c", State.COMPLETED, {}, "We have sent you 150.00 MZN", "Já lhe enviámos 150,00 MZN"),
    ("b2c", State.COMPLETED, {"reversal_pending": Decimal(50)}, "We have sent you 150.00 MZN",
     "Já lhe enviámos 150,00 MZN"),
    ("b2c", State.FAILED, {"response_code": "INS-2006"}, "Please contact us.", "Contacte-nos"),
    ("b2c", State.FAILED, {"response_code": "INS-2051"}, "tell us the right one", "número certo"),
    ("b2c", State.FAILED, {"response_code": "INS-996"}, "Vodacom shop, then", "loja Vodacom"),
    ("b2b", State.REVERSED, {}, "It came back to us.", "voltou para nós"),
    ("b2c", State.FAILED, {"conflict": MOVED}, "We are looking into it", "Estamos a ver"),
    ("reversal", State.PENDING, {}, "giving 150.00 MZN back to you", "devolver-lhe 150,00 MZN"),
    ("reversal", State.UNKNOWN, {}, "you have the 150.00 MZN back", "foram devolvidos"),
    ("reversal", State.COMPLETED, {}, "given 150.00 MZN back to you", "Já lhe devolvemos 150,00"),
    ("reversal", State.FAILED, {"response_code": "INS-2001"}, "Please contact us.", "Contacte-nos"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "state", "columns", "english", "portuguese"), READ)
def test_what_is_read_says_where_the_payment_stands_and_what_to_do(
    operation: str, state: State, columns: dict[str, Any], english: str, portuguese: str
) -> None:
    message = customer_message(make_record(operation=operation, state=state, **columns))
    assert english in message
    assert portuguese in message.in_language("pt-MZ")
    assert message.in_language("fr") == message


def test_each_code_of_the_market_leads_to_what_a_customer_can_do() -> None:
    typed_out = {
        code: Advice(advice)
        for advice, *codes in (line.split() for line in ADVICE.strip().splitlines())
        for code in codes
    }
    assert typed_out == {code: info.advice for code, info in CODES.items()}
    assert set(typed_out.values()) == set(Advice)


def test_each_advice_has_words_of_its_own() -> None:
    for language in ("en", "pt"):
        said = {
            code: customer_message(make_record(state=State.FAILED, response_code=code))
            .in_language(language)
            for code in CODES
        }  # fmt: skip
        assert len(set(said.values())) == len(Advice)


@pytest.mark.parametrize(
    ("columns", "advice"),
    [
        ({"response_code": "INS-4711"}, Advice.TRY_AGAIN),
        ({"response_code": "INS-6", "conversation_id": "AG_1"}, Advice.CHECK_PIN),
        # Taken in, and never decided while the phone asked.
        ({"response_code": "INS-0", "conversation_id": "AG_1"}, Advice.PHONE_AT_HAND),
        ({"conversation_id": "AG_1"}, Advice.PHONE_AT_HAND),
        ({}, Advice.WAIT),
    ],
)
def test_without_a_code_the_conversation_tells_what_to_do(
    columns: dict[str, str], advice: Advice
) -> None:
    assert advice_for(make_record(state=State.FAILED, **columns)) is advice


_MONEY = st.decimals("0.01", "999999", places=2)


@given(
    operation=st.sampled_from([name for name, row in OPERATIONS.items() if row.moves_money]),
    state=st.sampled_from([*State, *(str(state) for state in State)]),
    code=st.sampled_from([*CODES, "", "0", "%s", "%(amount)s"]) | st.text(max_size=16),
    conflict=st.sampled_from(["", "%d 258841234567"]),
    conversation_id=st.sampled_from(["", "AG_258841234567"]),
    stuck_at=st.none() | st.datetimes(),
    amount=_MONEY,
    reversed_amount=_MONEY,
    reversal_pending=st.just(Decimal(0)) | _MONEY,
)
def test_every_record_has_words_which_never_show_the_number(operation: str, **columns: Any) -> None:
    message = customer_message(make_record(operation=operation, **columns))
    portuguese = message.in_language("pt")
    assert portuguese != message
    for said in (message, portuguese):
        assert said.strip()
        assert "258841234567" not in said
        assert "%" not in said
        assert ("PIN" in said) <= (operation == "c2b")
