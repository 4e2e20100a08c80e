"""The view for Flask-Admin: every way to change or delete history is closed, and none guesses."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.filters import FilterEqual, FilterLike
from flask_babel import Babel
from sqlalchemy import select
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from flask_mpesa import Mpesa
from flask_mpesa.admin import TransactionView
from flask_mpesa.handler_view import HandlerView
from flask_mpesa.records import Records
from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.calls import CallFilter

from .models import Payment, PaymentCallback, PaymentOutboxEntry

# A scoped session does, and needs no Flask-SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:Passing a session object directly")
WHOLE = "258841234567"
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
# What Flask-Admin's own view would do with it.
EVERYTHING: dict[str, Any] = {
    "id": "1", "rowid": ["1", "2"], "list_form_pk": "1", "state": "failed", "amount": "1",
    "reversed_amount": "150", "msisdn": "258840000000", "reference": "OTHER", "url": "/",
    "third_party_reference": "NEW1", "operation": "c2b", "account": "default", "currency": "USD",
}  # fmt: skip


class ExportingView(TransactionView):
    """As a shop would have it, who wants files, and formatters and columns of its own."""

    can_export = True
    column_list = ("created_at", "msisdn", "amount", "reference", "metadata_")
    column_export_list = column_list
    column_formatters = {"amount": lambda view, context, record, name: "some"}  # noqa: RUF012


@pytest.fixture
def client(app: Flask, mpesa: Mpesa, records: Records) -> Iterator[FlaskClient]:
    """A browser of the owner's, and two payments, the second with a reference of a formula."""
    app.config["SECRET_KEY"] = "x"
    Babel(app)
    db = scoped_session(sessionmaker(records.engine))
    admin = Admin(app)
    admin.add_view(TransactionView(Payment, db, endpoint="payments"))
    admin.add_view(ExportingView(Payment, db, endpoint="exported"))
    mpesa.c2b(**PAYMENT, metadata={"who": WHOLE})
    mpesa.c2b(**{**PAYMENT, "msisdn": "85 999 9999", "reference": "=1+1"})
    app.teardown_appcontext(lambda error: db.remove())
    yield app.test_client()
    db.remove()


def _rows(records: Records) -> list[dict[str, Any]]:
    with Session(records.engine) as session:
        return [
            {column.key: getattr(row, column.key) for column in model.__mapper__.column_attrs}
            for model in (Payment, PaymentCallback, PaymentOutboxEntry)
            for row in session.scalars(select(model))
        ]


def _token(client: FlaskClient, endpoint: str) -> str:
    found = re.search(
        r'name="csrf_token"[^>]*value="([^"]+)"', client.get(f"/admin/{endpoint}/").text
    )
    assert found
    return found[1]


def _listed(client: FlaskClient, query: str) -> list[str]:
    page = client.get(f"/admin/payments/{query}")
    assert page.status_code == 200
    return [name for name in ("ORDER 7", "=1+1") if name in page.text]


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["payments", "exported"])
def test_no_route_and_no_action_changes_history(
    app: Flask, client: FlaskClient, records: Records, endpoint: str
) -> None:
    before = _rows(records)
    index: Any = app.view_functions[f"{endpoint}.index_view"]
    view = index.__self__
    token = _token(client, endpoint)
    actions = {*view._actions_data, "delete", "edit", "update"} - {"ask_gateway", "reverse"}
    tried = set()
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(f"{endpoint}.") or "static" in rule.endpoint:
            continue
        page = rule.rule.replace("<export_type>", "csv")
        for action in actions:
            data = {**EVERYTHING, "csrf_token": token, "action": action}
            for query in ("", "?id=1", "?modal=1&id=1"):
                client.post(page + query, data=data)
                client.get(page + query)
        tried.add(rule.endpoint.partition(".")[2])
        assert _rows(records) == before, page
    assert {"action_view", "delete_view", "edit_view", "create_view", "ajax_update"} <= tried
    refused = client.post(f"/admin/{endpoint}/delete/", data={"id": "1", "csrf_token": token})
    assert refused.status_code == 403
    assert ">Delete<" not in client.get(f"/admin/{endpoint}/").text


def test_what_moves_money_needs_its_right_and_our_own_page(
    client: FlaskClient, records: Records
) -> None:
    before = _rows(records)
    data = {"action": "reverse", "rowid": ["1"], "url": "/"}
    client.post("/admin/payments/action/", data={**data, "csrf_token": _token(client, "payments")})
    client.post("/admin/payments/action/", data={**data, "action": "ask_gateway"})
    assert _rows(records) == before
    gone = {**data, "action": "ask_gateway", "rowid": ["999"]}
    token = _token(client, "payments")
    assert (
        client.post("/admin/payments/action/", data={**gone, "csrf_token": token}).status_code
        == 302
    )


def test_nobody_is_asked_of_what_is_final_or_was_not_sent(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator
) -> None:
    queued = mpesa.c2b(**PAYMENT, send="worker")
    calls = mpesa_simulator.calls.count(CallFilter(kind="call"))
    data = {"action": "ask_gateway", "rowid": ["1", str(queued.pk)], "url": "/admin/payments/"}
    token = _token(client, "payments")
    done = client.post(
        "/admin/payments/action/", data={**data, "csrf_token": token}, follow_redirects=True
    )
    assert "There was nothing to ask" in done.text
    assert "Queued" in done.text
    assert mpesa_simulator.calls.count(CallFilter(kind="call")) == calls


def _broken(*args: Any) -> Any:
    raise RuntimeError("the row is secret")


def test_one_that_cannot_be_asked_for_stops_no_other(
    client: FlaskClient, mpesa: Mpesa, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []
    for _ in range(2):
        mpesa_simulator.scenarios.queue("cut_after", operation="c2b")
        lost.append(mpesa.c2b(**PAYMENT))
    monkeypatch.setattr(mpesa["default"], "check", _broken)
    data = {"action": "ask_gateway", "rowid": [str(each.pk) for each in lost]}
    data |= {"csrf_token": _token(client, "payments"), "url": "/admin/payments/"}
    seen = client.post("/admin/payments/action/", data=data, follow_redirects=True).text
    assert [f"{each.third_party_reference}: RuntimeError" in seen for each in lost] == [True, True]
    assert "secret" not in seen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("can_create", True),
        ("can_edit", True),
        ("can_delete", True),
        ("can_delete", property(lambda view: True)),
        ("column_editable_list", ("state",)),
        ("inline_models", (PaymentCallback,)),
        ("form_ajax_refs", {"original": {"fields": ("msisdn",)}}),
    ],
)
def test_a_view_that_opens_history_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is set, and must not be"):
        type("Opened", (TransactionView,), {name: value})
    of_the_shop = type("OfTheShop", (ModelView,), {name: value})
    with pytest.raises(ConfigurationError, match=name):
        type("Opened", (of_the_shop, TransactionView), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("column_sortable_list", ("created_at", "msisdn")),
        ("column_sortable_list", None),
        ("column_filters", ("msisdn",)),
        ("column_filters", (FilterLike(Payment.msisdn, "n"), FilterEqual(Payment.state, "s"))),
    ],
)
def test_a_view_that_lets_masked_numbers_be_guessed_is_refused(
    records: Records, name: str, value: Any
) -> None:
    guessing = type("Guessing", (TransactionView,), {name: value})
    with pytest.raises(ConfigurationError, match=rf"{name} of Guessing has .*msisdn"):
        guessing(Payment, scoped_session(sessionmaker(records.engine)))


def test_a_search_is_for_whole_values(client: FlaskClient, records: Records) -> None:
    paid = _rows(records)[0]
    for term in (
        "84+123+4567", WHOLE, "%2B258841234567", "order+7", paid["third_party_reference"],
        paid["transaction_id"], paid["transaction_id"].lower(), paid["conversation_id"],
    ):  # fmt: skip
        assert _listed(client, f"?search={term}") == ["ORDER 7"], term
    for term in ("25884", "^25884", "%3D25884%25", "25884_234567", "%25", "ORDER", "84123"):
        assert _listed(client, f"?search={term}") == [], term
    assert len(_listed(client, "?search=+")) == 2
    column = TransactionView.column_list.index("msisdn")
    orders = [client.get(f"/admin/payments/?sort={column}&desc={desc}").text for desc in "01"]
    assert len({page.index("ORDER 7") > page.index("=1+1") for page in orders}) == 1


def test_no_page_and_no_file_shows_a_whole_number(client: FlaskClient) -> None:
    for page in ("payments/", "payments/details/?id=1", "exported/", "exported/details/?id=1"):
        seen = client.get(f"/admin/{page}").text
        assert "25884•••4567" in seen, page
        assert WHOLE not in seen, page
    file = client.get("/admin/exported/export/csv/?search=841234567")
    (_head, *found) = list(csv.reader(io.StringIO(file.text)))
    assert [row[1] for row in found] == ["25884•••4567"]
    assert "25884•••4567" in found[0][4]
    formula = client.get("/admin/exported/export/csv/?search=%3D1%2B1").text
    assert "'=1+1" in formula
    assert WHOLE not in file.text + formula
    assert WHOLE not in client.get("/admin/payments/export/csv/").text


def test_the_search_says_what_it_finds(client: FlaskClient, mpesa_simulator: Simulator) -> None:
    assert "Whole values: Third-party reference" in client.get("/admin/payments/").text


class RunningView(HandlerView):
    can_run_again = True


def test_the_handlers_that_are_left_are_shown_and_run_again_by_who_may(
    app: Flask, mpesa: Mpesa, client: FlaskClient, records: Records,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    db = scoped_session(sessionmaker(records.engine))
    admin = Admin(app, endpoint="other", url="/other")
    admin.add_view(HandlerView(PaymentOutboxEntry, db, endpoint="handlers"))
    admin.add_view(RunningView(PaymentOutboxEntry, db, endpoint="running"))
    fails = [True]

    def raising(payment: Any) -> None:
        if fails:
            raise ValueError

    for name in ("ship", "book", "old"):
        mpesa.handler("payment_completed", name=name)(raising)
    paid = mpesa.c2b(**PAYMENT)
    left = {each.handler: each for each in mpesa.unfinished_handlers()}
    mpesa["default"].store.change_outbox_entry(
        left["book"].event_id, {"given_up_at": paid.created_at}
    )
    mpesa._handlers._handlers.pop(("payment_completed", "old"))
    seen = client.get("/other/handlers/").text
    for words in ("Waits for its next attempt", "Waits for a person", "No such handler",
                  paid.third_party_reference, "ValueError in raising"):  # fmt: skip
        assert words in seen
    assert "Run again" not in seen
    page = client.get(f"/other/handlers/details/?id={left['ship'].event_id}").text
    assert paid.third_party_reference in page
    chosen = {"action": "run_again", "rowid": [each.event_id for each in left.values()]}
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/other/running/").text)
    assert found
    data = {**chosen, "csrf_token": found[1], "url": "/other/running/"}
    client.post("/other/handlers/action/", data=data)
    assert {each.attempts for each in mpesa.unfinished_handlers()} == {1}
    fails.clear()
    with monkeypatch.context() as patch:
        patch.setattr(mpesa["default"], "run_again", _broken)
        seen = client.post("/other/running/action/", data=data, follow_redirects=True).text
    assert [f"{name}: RuntimeError" in seen for name in left] == [True] * 3
    seen = client.post("/other/running/action/", data=data, follow_redirects=True).text
    assert "2 handlers were run." in seen
    assert "old: no such handler" in seen
    assert [each.handler for each in mpesa.unfinished_handlers()] == ["old"]
