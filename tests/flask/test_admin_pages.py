"""The pages of one payment and of callbacks in Flask-Admin, and the file of payments."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_babel import Babel, refresh
from sqlalchemy import event
from sqlalchemy.orm import scoped_session, sessionmaker

import flask_mpesa.admin
from flask_mpesa import Mpesa
from flask_mpesa.admin import TransactionView
from flask_mpesa.callback_view import CallbackView
from flask_mpesa.records import Records
from mpesa_integrations.core.errors import RecordsUnavailable, nothing_sent
from mpesa_integrations.core.messages import Message
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.records import Verdict
from mpesa_integrations.simulator import Simulator
from tests.support.account import TOKEN
from tests.support.callbacks import accepted_payment, callback_body
from tests.support.pages import filled

from .models import Payment, PaymentCallback
from .test_admin import _token

pytestmark = pytest.mark.filterwarnings("ignore:Passing a session object directly")
WHOLE = "258841234567"
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "1250.00", "reference": "ORDER 7"}


class Cashier(TransactionView):
    can_reverse = True
    can_resolve = True


class NamedCashier(Cashier):
    def who(self) -> str:
        return "ana"


class Applying(CallbackView):
    can_apply_again = True


@pytest.fixture
def client(app: Flask, mpesa: Mpesa, records: Records) -> Iterator[FlaskClient]:
    app.config.update(SECRET_KEY="x", BABEL_DEFAULT_TIMEZONE="Africa/Maputo")
    language = ["en"]
    Babel(app, locale_selector=lambda: language[0])
    app.extensions["language"] = language
    db = scoped_session(sessionmaker(records.engine))
    admin = Admin(app)
    for view in (
        TransactionView(Payment, db, endpoint="looking"),
        NamedCashier(Payment, db, endpoint="named"),
        Cashier(Payment, db, endpoint="payments"),
        CallbackView(PaymentCallback, db, endpoint="seen"),
        Applying(PaymentCallback, db, endpoint="callbacks"),
    ):
        admin.add_view(view)
    app.teardown_appcontext(lambda error: db.remove())
    yield app.test_client()
    db.remove()


def _form(client: FlaskClient, page: str) -> dict[str, str]:
    return filled(client.get(page).text)


def _reverse(client: FlaskClient, payment: Any, **changes: str) -> Any:
    page = f"/admin/payments/reverse/?id={payment.id}"
    return client.post(page, data={**_form(client, page), **changes}, follow_redirects=True)


def test_a_part_is_given_back_by_who_may(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    assert client.get(f"/admin/looking/reverse/?id={paid.id}").status_code == 403
    assert "/reverse/" not in client.get(f"/admin/looking/details/?id={paid.id}").text
    assert "/reverse/" in client.get(f"/admin/payments/details/?id={paid.id}").text
    seen = client.get(f"/admin/payments/reverse/?id={paid.id}").text
    assert seen.count("1,250.00 MZN") == 2  # paid, and left
    assert WHOLE not in seen
    page = f"/admin/payments/reverse/?id={paid.id}"
    form = {**_form(client, page), "amount": "250,50"}
    done = client.post(page, data=form, follow_redirects=True).text
    assert "The reversal of 250.50 MZN is now: Paid." in done
    assert "250.50 MZN were given back" in done  # what happened
    assert mpesa_simulator.ledger.balance(WHOLE) == 100_000 - 1250 + 250.5
    # The same form, sent twice, gives back once.
    client.post(page, data=form)
    assert mpesa_simulator.ledger.balance(WHOLE) == 100_000 - 1250 + 250.5
    for wrong, told in (
        ("999.51", "at most 999.50 MZN"),
        ("x", "more than 0"),
        ("0", "more than 0"),
    ):
        seen = _reverse(client, paid, amount=wrong).text
        assert told in seen, seen
    assert "is now: Paid" in _reverse(client, paid).text  # all that is left
    assert "Only a completed payment" in client.get(page, follow_redirects=True).text


def test_who_did_not_see_the_other_reversal_gives_nothing_back(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    page = f"/admin/payments/reverse/?id={paid.id}"
    first, second = ({**_form(client, page), "amount": "300"} for _ in range(2))
    assert "is now: Paid" in client.post(page, data=first, follow_redirects=True).text
    without = {name: value for name, value in _form(client, page).items() if name != "shown"}
    for stale in (second, without):
        seen = client.post(page, data=stale, follow_redirects=True).text
        assert "has changed since this page was shown" in seen
        assert 'value="950.00"' in seen  # as it now is
    assert "is now: Paid" in client.post(page, data=first, follow_redirects=True).text
    assert mpesa_simulator.ledger.balance(WHOLE) == 100_000 - 950
    again = {**second, "shown": _form(client, page)["shown"]}
    assert "is now: Paid" in client.post(page, data=again, follow_redirects=True).text


def test_what_goes_back_is_of_the_payment_that_the_page_shows(
    client: FlaskClient, mpesa: Mpesa, records: Records
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    # As a migration leaves payments of which two have one transaction ID.
    with records.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE payment SET claimed_transaction_id = NULL")
    assert "is now: Paid" in _reverse(client, paid).text


def test_nothing_goes_back_without_our_own_form(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    seen = _reverse(client, paid, csrf_token="forged")
    assert "is now" not in seen.text
    assert mpesa_simulator.ledger.balance(WHOLE) == 100_000 - 1250
    assert client.get("/admin/payments/reverse/?id=999").status_code == 404


def test_the_action_leads_to_one_payments_page(client: FlaskClient, mpesa: Mpesa) -> None:
    paid = [mpesa.c2b(**PAYMENT), mpesa.c2b(**PAYMENT)]
    data = {"action": "reverse", "csrf_token": _token(client, "payments")}
    one = client.post("/admin/payments/action/", data={**data, "rowid": [str(paid[0].id)]})
    assert one.location.endswith(f"/admin/payments/reverse/?id={paid[0].id}")
    both = {**data, "rowid": [str(each.id) for each in paid]}
    seen = client.post("/admin/payments/action/", data=both, follow_redirects=True).text
    assert "choose just one" in seen


def _unknown(mpesa: Mpesa, simulator: Simulator) -> Any:
    simulator.scenarios.queue("cut_before", delay=0)
    return mpesa.c2b(**PAYMENT)


def test_what_nobody_knows_is_decided_by_who_says_why(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    record = _unknown(mpesa, mpesa_simulator)
    assert client.get(f"/admin/looking/resolve/?id={record.id}").status_code == 403
    page = f"/admin/payments/resolve/?id={record.id}"
    assert page in client.get(f"/admin/payments/details/?id={record.id}").text
    token = _form(client, page)
    for wrong, told in (
        ({"state": "completed", "by": "Ana", "note": "  "}, "Write on what grounds"),
        ({"note": "statement", "by": "Ana"}, "Choose what happened"),
        ({"state": "reversed", "note": "statement", "by": "Ana"}, "Choose what happened"),
        ({"state": "completed", "note": "statement", "by": " "}, "Write who decides"),
    ):
        assert told in client.post(page, data={**token, **wrong}).text
    assert mpesa["default"].store.get(record).state == "unknown"
    right = {**token, "state": "failed", "note": "statement of 3 May", "by": "Ana"}
    seen = client.post(page, data=right, follow_redirects=True).text
    assert "Your decision was written down" in seen
    assert "A person decided: it failed, and no money moved" in seen
    assert "Decided by Ana: statement of 3 May" in seen
    assert "nothing to decide" in client.get(page, follow_redirects=True).text


def test_who_did_not_see_a_contradiction_does_not_decide_it(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    payments = mpesa["default"]
    pending = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    page = f"/admin/named/resolve/?id={pending.id}"
    form = {**_form(client, page), "state": "failed", "note": "not on the statement"}
    payments.resolve(pending, State.FAILED, by="Rui", note="not on the statement")
    payments.receive(json.dumps(callback_body(pending)).encode())
    without = {name: value for name, value in form.items() if name != "shown"}
    for stale in (form, without):
        seen = client.post(page, data=stale, follow_redirects=True).text
        assert "has changed since this page was shown" in seen
        assert "succeeded" in seen  # the contradiction
    assert payments.store.get(pending).conflict_decided_at is None
    client.post(page, data={**form, **_form(client, page)})
    assert payments.store.get(pending).conflict_decided_at is not None


def test_who_is_signed_in_need_not_say_so(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    record = _unknown(mpesa, mpesa_simulator)
    page = f"/admin/named/resolve/?id={record.id}"
    assert 'name="by"' not in client.get(page).text
    right = {**_form(client, page), "state": "completed", "note": "statement", "by": "eve"}
    assert "Decided by ana: statement" in client.post(page, data=right, follow_redirects=True).text


def test_a_refused_decision_says_why(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _unknown(mpesa, mpesa_simulator)

    def refuse(*args: Any, **values: Any) -> None:
        raise nothing_sent({"record": [Message("is not on record")]})

    monkeypatch.setattr(mpesa["default"], "resolve", refuse)
    page = f"/admin/payments/resolve/?id={record.id}"
    right = {**_form(client, page), "state": "failed", "note": "statement", "by": "Ana"}
    assert "is not on record" in client.post(page, data=right).text


def test_a_page_tells_what_happened(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator, app: Flask
) -> None:
    record = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    mpesa["default"].receive(json.dumps(callback_body(record)).encode())
    seen = client.get(f"/admin/payments/details/?id={record.id}").text
    told = re.findall(r'<li class="border-bottom py-2">(.*?)</li>', seen, re.DOTALL)
    texts = [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in told]
    assert re.fullmatch(
        r"\w+ \d+, 20\d\d, \d+:\d\d:\d\d\s[AP]M CAT Recorded, before anything was sent", texts[0]
    )
    assert "Callback: it decided the payment: look at it INS-0: said the callback" in texts[2]
    assert re.search(r'href="/admin/(seen|callbacks)/details/\?id=1"', told[2])
    app.extensions["language"][0] = "pt"
    refresh()
    assert (
        "Callback: decidiu o pagamento"
        in client.get(f"/admin/payments/details/?id={record.id}").text
    )


def _rows(answer: Any, delimiter: str = ",") -> list[dict[str, str]]:
    text = answer.text.removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def test_the_file_is_as_the_language_and_the_zone_have_it(
    app: Flask, client: FlaskClient, mpesa: Mpesa
) -> None:
    paid = mpesa.c2b(**{**PAYMENT, "reference": "=1+1"})
    mpesa.reverse(paid, "50")
    reversal, sold = _rows(client.get("/admin/looking/export/csv/"))
    assert (sold["Amount"], sold["Amount given back"]) == ("1250.00", "50.00")
    assert (sold["Reference"], sold["Phone number"]) == ("'=1+1", "25884•••4567")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", sold["Created"])
    assert sold["Time zone"] == "CAT"
    assert reversal["Reverses the reference"] == sold["Third-party reference"]
    assert reversal["Reverses the transaction"] == sold["Transaction ID"]
    app.extensions["language"][0] = "pt"
    refresh()
    chosen = _rows(client.get("/admin/looking/export/csv/"), ";")[1]
    assert chosen["Valor"] == "1250,00"
    assert re.fullmatch(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", chosen["Criado"])


def test_the_chosen_ones_are_exported_alone(client: FlaskClient, mpesa: Mpesa) -> None:
    paid = [mpesa.c2b(**PAYMENT) for _ in range(3)]
    data = {
        "action": "export_chosen", "csrf_token": _token(client, "looking"),
        "rowid": [str(paid[0].id), str(paid[2].id)],
    }  # fmt: skip
    found = _rows(client.post("/admin/looking/action/", data=data))
    assert [row["Third-party reference"] for row in found] == [
        paid[0].third_party_reference, paid[2].third_party_reference
    ]  # fmt: skip


def test_a_file_is_made_of_batches_each_with_what_it_gives_back(
    client: FlaskClient, mpesa: Mpesa, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flask_mpesa.admin, "EXPORT_BATCH", 4)
    paid = [mpesa.c2b(**PAYMENT) for _ in range(3)]
    back = [mpesa.reverse(payment) for payment in paid]
    others = mpesa.c2b(**{**PAYMENT, "reference": "OTHER"})
    read: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        read.append(statement)

    event.listen(records.engine, "before_cursor_execute", note)
    rows = _rows(client.get("/admin/looking/export/csv/"))
    event.remove(records.engine, "before_cursor_execute", note)
    in_file = [row["Third-party reference"] for row in rows]
    assert in_file == [each.third_party_reference for each in (others, *back[::-1], *paid[::-1])]
    given_back = [row["Reverses the reference"] for row in rows]
    assert given_back == ["", *(each.third_party_reference for each in paid[::-1]), "", "", ""]
    assert len(read) == 2 + 1 + 1  # batches, that which is empty, and originals
    found = _rows(client.get("/admin/looking/export/csv/?search=OTHER"))
    assert [row["Reference"] for row in found] == ["OTHER"]


def test_where_no_file_may_be_had_the_chosen_ones_give_none_either(
    client: FlaskClient, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = mpesa.c2b(**PAYMENT)
    monkeypatch.setattr(TransactionView, "can_export", property(lambda view: False))
    assert "Export as CSV" not in client.get("/admin/looking/").text
    data = {"action": "export_chosen", "rowid": [str(paid.id)], "url": "/admin/looking/"}
    answer = client.post(
        "/admin/looking/action/", data={**data, "csrf_token": _token(client, "looking")}
    )
    assert (answer.status_code, answer.mimetype) == (302, "text/html")


def test_callbacks_are_looked_into_and_applied_again_by_who_may(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator, records: Records
) -> None:
    record = accepted_payment(mpesa, mpesa_simulator, **PAYMENT)
    body = {**callback_body(record), "input_ResultDesc": f"of {WHOLE}"}
    store = mpesa["default"].store
    mpesa["default"].receive(json.dumps(body).encode(), apply=False)
    (kept,) = store.callbacks(limit=1, verdicts=[Verdict.RECEIVED])
    seen = client.get("/admin/callbacks/").text
    assert "it is stored, and not looked at yet" in seen
    page = client.get(f"/admin/callbacks/details/?id={kept.key}").text
    assert "25884•••4567" in page
    assert WHOLE not in page
    data = {
        "action": "apply_again",
        "csrf_token": _token(client, "callbacks"),
        "rowid": [str(kept.key)],
    }
    client.post("/admin/seen/action/", data=data)
    assert store.get(record).state == "pending"
    seen = client.post("/admin/callbacks/action/", data=data, follow_redirects=True).text
    assert f"{record.third_party_reference}: Applied" in seen
    assert store.get(record).state == "completed"
    again = client.post("/admin/callbacks/action/", data=data, follow_redirects=True).text
    assert "there is nothing to apply" in again
    page = client.get(f"/admin/callbacks/details/?id={kept.key}").text
    assert "it arrived" in page or "it decided the payment" in page
    assert record.third_party_reference in page


def test_a_callback_of_an_account_that_cannot_be_loaded_shows_all_but_its_body(
    client: FlaskClient, app: Flask, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpesa["default"].receive(TOKEN.encode())
    (kept,) = mpesa["default"].store.callbacks(limit=1, verdicts=[Verdict.UNREADABLE])
    page = f"/admin/callbacks/details/?id={kept.key}"
    seen = client.get(page).text
    assert "As it arrived:" in seen
    assert TOKEN not in seen

    def away(alias: str) -> None:
        raise RecordsUnavailable("the settings could not be loaded")

    monkeypatch.setattr(app.extensions["mpesa"], "options", away)
    answer = client.get(page)
    assert answer.status_code == 200
    assert "The body is not shown" in answer.text
    assert TOKEN not in answer.text


def test_a_callback_that_cannot_be_applied_stops_no_other(
    client: FlaskClient, mpesa: Mpesa, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reference in ("R1", "R2"):
        unknown = SimpleNamespace(conversation_id="AG_1", third_party_reference=reference)
        mpesa["default"].receive(json.dumps(callback_body(unknown)).encode(), apply=False)
    kept = mpesa["default"].store.callbacks(limit=2, verdicts=[Verdict.RECEIVED])
    apply = mpesa["default"].apply_callback_again

    def failing(key: Any) -> Any:
        if key == min(each.key for each in kept):
            raise ValueError
        return apply(key)

    monkeypatch.setattr(mpesa["default"], "apply_callback_again", failing)
    data = {"action": "apply_again", "rowid": [str(each.key) for each in kept]}
    seen = client.post(
        "/admin/callbacks/action/",
        data={**data, "csrf_token": _token(client, "callbacks")},
        follow_redirects=True,
    )
    assert "R1: ValueError" in seen.text
    assert "R2: No such payment" in seen.text


def test_a_list_of_callbacks_reads_their_payments_by_one_query(
    client: FlaskClient, mpesa: Mpesa, records: Records
) -> None:
    read: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        read.extend(["payment"] if "FROM payment " in f"{statement} ".replace("\n", " ") else [])

    for count in (2, 5):
        for _ in range(count):
            paid = mpesa.c2b(**PAYMENT)
            columns = ("third_party_reference", "conversation_id")
            values = {name: getattr(paid, name) for name in columns}
            values |= {"body": b"{}", "verdict": Verdict.APPLIED, "transaction_key": paid.pk}
            mpesa["default"].store.store_callback(values)
        read.clear()
        event.listen(records.engine, "before_cursor_execute", note)
        assert paid.third_party_reference in client.get("/admin/callbacks/").text
        event.remove(records.engine, "before_cursor_execute", note)
        assert len(read) == 1


def test_what_is_queued_is_taken_back(client: FlaskClient, mpesa: Mpesa) -> None:
    queued = mpesa.c2b(**PAYMENT, send="worker")
    page = f"/admin/payments/resolve/?id={queued.id}"
    assert "The money moved" not in client.get(page).text
    right = {**_form(client, page), "state": "cancelled", "note": "not wanted", "by": "Ana"}
    seen = client.post(page, data=right, follow_redirects=True).text
    assert "A person decided: it was cancelled, and no money moved" in seen
