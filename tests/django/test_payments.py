"""Recorded payments through Django, the core and the local gateway."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from django_mpesa import mpesa, signals
from django_mpesa.models import CallbackLog, OutboxEntry, Transaction
from mpesa_integrations import ConfigurationError, DuplicateTransaction, ValidationError
from mpesa_integrations.core.errors import CalledInTransaction, IdempotencyConflict
from mpesa_integrations.simulator import Simulator
from tests.support import rows
from tests.support.account import TOKEN, account_settings
from tests.support.callbacks import ASYNC_URL, accepted_payment, callback_body

pytestmark = pytest.mark.django_db(transaction=True)
PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}
Heard = list[tuple[str, Any]]


def _names(heard: Heard) -> list[str]:
    return [name.removeprefix("payment_") for name, _ in heard]


def _post(body: Any, token: str = TOKEN, **extra: Any) -> Any:
    return Client().post(
        f"/mpesa/callback/{token}/",
        data=body if isinstance(body, (bytes, str)) else json.dumps(body),
        content_type=extra.pop("content_type", "application/json"),
        **extra,
    )


@pytest.fixture
def pending(simulator: Simulator) -> Transaction:
    """A payment that the gateway has accepted, and whose callback never comes by itself."""
    record = accepted_payment(mpesa, simulator, **PAYMENT)
    assert isinstance(record, Transaction)
    return record


def test_a_payment_is_recorded_paid_and_told(simulator: Simulator, heard: Heard) -> None:
    record = mpesa.c2b(**PAYMENT, metadata={"order": 7})
    assert record.state == "completed"
    assert record.is_paid
    kept = Transaction.objects.get()
    booked = simulator.ledger.find(kept.third_party_reference)
    assert booked is not None
    assert (kept.transaction_id, kept.amount, kept.msisdn) == (
        booked.transaction_id, booked.amount, booked.msisdn
    )  # fmt: skip
    assert kept.metadata == {"order": 7}
    assert kept.next_check_at is None
    assert _names(heard) == ["initiated", "completed"]
    assert heard[1][1].state == "completed"


@pytest.mark.parametrize(
    ("scenario", "state", "code"),
    [
        ("insufficient_balance", "failed", "INS-2006"),
        ("cancelled", "cancelled", "INS-5"),
        ("pin_timeout", "unknown", "INS-9"),
        ("cut_after", "unknown", ""),
        ("cut_before", "unknown", ""),
        ("html", "unknown", ""),
        ("unknown_code", "unknown", "INS-4711"),
        ("code:INS-2", "failed", "INS-2"),
    ],
)
def test_each_outcome_is_a_state_and_a_signal(
    simulator: Simulator, heard: Heard, scenario: str, state: str, code: str
) -> None:
    simulator.scenarios.queue(scenario, delay=0)
    record = mpesa.c2b(**PAYMENT)
    assert (record.state, record.response_code) == (state, code)
    assert record.response_description
    assert _names(heard) == ["initiated", state]
    record.refresh_from_db()
    assert (record.next_check_at is None) == (state != "unknown")


def test_a_gateway_that_is_not_there_is_a_failure(simulator: Simulator, settings: Settings) -> None:
    settings.MPESA = {"default": account_settings(simulator, PORT=1, RETRIES=0)}
    record = mpesa.c2b(**PAYMENT)
    assert record.state == "failed"
    assert "Nothing was sent" in record.response_description


def test_a_wrong_argument_records_nothing(simulator: Simulator, heard: Heard) -> None:
    with pytest.raises(ValidationError):
        mpesa.c2b(**{**PAYMENT, "amount": 0})
    assert not Transaction.objects.exists()
    assert heard == []


def test_the_record_is_committed_before_anything_is_sent(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = mpesa["default"]
    send = account.client.send
    seen: list[str] = []

    def look(request: Any) -> Any:
        def read() -> None:
            seen.append(Transaction.objects.get().state)
            connections.close_all()

        reader = threading.Thread(target=read)  # another connection sees what is committed
        reader.start()
        reader.join()
        return send(request)

    monkeypatch.setattr(account.client, "send", look)
    mpesa.c2b(**PAYMENT)
    assert seen == ["initiated"]


def test_an_interrupted_process_leaves_a_record_to_reconcile(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = mpesa["default"]
    send = account.client.send

    def die(request: Any) -> Any:
        send(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(account.client, "send", die)
    with pytest.raises(KeyboardInterrupt):
        mpesa.c2b(**PAYMENT)
    monkeypatch.setattr(account.client, "send", send)
    record = Transaction.objects.get()
    assert record.state == "initiated"
    assert mpesa.reconcile().asked == 0  # the answer could still come
    _make_due()
    assert mpesa.reconcile().asked == 1
    assert Transaction.objects.get().state == "completed"


def _make_due() -> None:
    past = timezone.now() - timedelta(seconds=1)
    rows.change(Transaction.objects.filter(next_check_at__isnull=False), next_check_at=past)
    OutboxEntry.objects.update(due_at=F("due_at") - timedelta(hours=1))


@pytest.mark.parametrize(
    ("scenario", "state"), [("cut_after", "completed"), ("cut_before", "unknown")]
)
def test_reconcile_learns_what_the_gateway_knows(
    simulator: Simulator, heard: Heard, scenario: str, state: str
) -> None:
    simulator.scenarios.queue(scenario)
    mpesa.c2b(**PAYMENT)
    _make_due()
    call_command("mpesa_reconcile")
    record = Transaction.objects.get()
    assert record.state == state
    assert record.checks == 1
    assert _names(heard) == ["initiated", "unknown", "completed"][: 3 if state != "unknown" else 2]
    if state == "unknown":
        assert record.next_check_at is not None
        assert record.next_check_at > timezone.now()


def test_reconcile_says_when_the_next_is_due_and_asks_at_once_if_told_to(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        simulator.scenarios.queue("cut_after")
        mpesa.c2b(**PAYMENT)
    call_command("mpesa_reconcile")
    early = capsys.readouterr().out
    assert "default: 0 asked; 2 not due yet, the next in " in early
    assert 20 <= int(early.strip().removesuffix(" s").split()[-1]) <= 30
    call_command("mpesa_reconcile", "--now")
    assert "default: 2 asked\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"),
    [("batch", "0"), ("workers", "-1"), ("rate", "0"), ("rate", "nan"), ("every", "0")],
)
def test_a_worker_that_would_do_nothing_or_never_end_is_refused(
    simulator: Simulator, option: str, value: str
) -> None:
    with pytest.raises(CommandError, match=f"{option}: must be") as caught:
        call_command("mpesa_reconcile", f"--{option}={value}")
    assert caught.value.returncode == 3


def test_an_account_that_is_broken_keeps_no_other_from_being_reconciled(
    simulator: Simulator, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = account_settings(simulator, PUBLIC_KEY="/nowhere/key.pem", CALLBACK_TOKEN="b" * 32)
    settings.MPESA = {"broken": broken, **settings.MPESA}
    simulator.scenarios.queue("callback_never", operation="c2b")
    simulator.response_url = ASYNC_URL
    record = mpesa.c2b(**PAYMENT)
    with pytest.raises(SystemExit) as caught:
        call_command("mpesa_reconcile")
    assert caught.value.code == 2
    out = capsys.readouterr().out
    assert "broken: ConfigurationError" in out
    assert "default: 0 asked" in out
    with pytest.raises(SystemExit):
        call_command("mpesa_check", "--offline")
    assert "the M-Pesa account 'default'" in capsys.readouterr().out
    assert _post(callback_body(record)).status_code == 200
    assert _post(callback_body(record), "b" * 32).status_code == 500
    assert CallbackLog.objects.get().verdict == "applied"


def test_the_same_key_pays_once_and_another_payment_with_it_is_refused(
    simulator: Simulator,
) -> None:
    first = mpesa.c2b(**PAYMENT, idempotency_key="order-7")
    again = mpesa.c2b(**{**PAYMENT, "amount": 150}, idempotency_key="order-7")
    assert again.pk == first.pk
    for change in ({"amount": 151}, {"msisdn": "851234567"}, {"reference": "ORDER 8"}):
        with pytest.raises(IdempotencyConflict, match=next(iter(change))):
            mpesa.c2b(**{**PAYMENT, **change}, idempotency_key="order-7")
    assert len(simulator.ledger.transactions()) == 1
    with pytest.raises(DuplicateTransaction):
        mpesa.c2b(**PAYMENT, third_party_reference=first.third_party_reference)


def test_threads_with_one_key_pay_once(simulator: Simulator) -> None:
    def pay(number: int) -> int:
        try:
            found: int = mpesa.c2b(**PAYMENT, idempotency_key="order-7").pk
            return found
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(pay, range(8)))) == 1
    assert len(simulator.ledger.transactions()) == 1


def test_a_reversal_in_parts_and_in_full(simulator: Simulator, heard: Heard) -> None:
    paid = mpesa.c2b(**PAYMENT)
    part = mpesa.reverse(
        transaction_id=paid.transaction_id, amount="50", idempotency_key="refund-1"
    )
    assert (part.state, part.amount, part.original_id) == ("completed", Decimal(50), paid.pk)
    paid.refresh_from_db()
    assert (paid.state, paid.reversed_amount) == ("partly_reversed", Decimal(50))
    with pytest.raises(ValidationError, match=r"100\.00"):
        mpesa.reverse(transaction_id=paid.transaction_id, amount="100.01")
    rest = mpesa.reverse(transaction_id=paid.transaction_id)
    assert rest.amount == 100
    paid.refresh_from_db()
    assert (paid.state, paid.reversed_amount) == ("reversed", Decimal(150))
    repeated = mpesa.reverse(
        transaction_id=paid.transaction_id, amount=50, idempotency_key="refund-1"
    )
    assert repeated.pk == part.pk
    with pytest.raises(ValidationError, match="reversed"):
        mpesa.reverse(transaction_id=paid.transaction_id)
    with pytest.raises(ValidationError, match="on record"):
        mpesa.reverse(transaction_id="NOSUCHTHING")
    assert _names(heard).count("reversed") == 2
    assert simulator.ledger.balance("258841234567") == 100000


def test_a_receiver_that_raises_harms_nothing(
    simulator: Simulator, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**values: Any) -> None:
        raise RuntimeError("the shop's mistake")

    signals.payment_completed.connect(broken)
    try:
        assert mpesa.c2b(**PAYMENT).state == "completed"
    finally:
        signals.payment_completed.disconnect(broken)
    assert _names(heard) == ["initiated", "completed"]
    assert "the shop's mistake" in caplog.text


def test_a_signal_that_was_not_sent_is_sent_by_reconcile(
    simulator: Simulator, heard: Heard
) -> None:
    record = mpesa.c2b(**PAYMENT)
    assert not OutboxEntry.objects.exists()
    # As a process leaves it that died between the commit and the signal.
    entry = OutboxEntry.objects.create(
        id="n" * 32, account="default", event="payment_completed", transaction=record,
        due_at=timezone.now(),
    )  # fmt: skip
    heard.clear()
    assert mpesa.reconcile().dispatched == 1
    assert _names(heard) == ["completed"]
    assert heard[0][1].pk == entry.transaction_id
    assert mpesa.reconcile().dispatched == 0


def test_accounts_are_separate(simulator: Simulator, settings: Settings) -> None:
    settings.MPESA = {
        "default": account_settings(simulator),
        "payouts": account_settings(simulator, CALLBACK_TOKEN="another-token-of-32-characters--"),
    }
    mpesa.c2b(**PAYMENT, idempotency_key="k")
    record = mpesa["payouts"].b2c(**PAYMENT, idempotency_key="k")
    assert (record.account, record.state, record.operation) == ("payouts", "completed", "b2c")
    with pytest.raises(ConfigurationError, match="default, payouts"):
        mpesa["nobody"]
    with override_settings(MPESA={"default": account_settings(simulator, API_KEY="k" * 32)}):
        assert mpesa.c2b(**PAYMENT).response_code == "INS-2"
    assert mpesa.c2b(**PAYMENT).state == "completed"


def test_a_callback_completes_a_pending_payment_once(pending: Transaction, heard: Heard) -> None:
    answer = _post(callback_body(pending))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {
        "output_OriginalConversationID": pending.conversation_id,
        "output_ThirdPartyConversationID": pending.third_party_reference,
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
    }
    assert _post(callback_body(pending)).json() == answer.json()
    pending.refresh_from_db()
    assert (pending.state, pending.transaction_id) == ("completed", "4XDF12345")
    assert _names(heard) == ["completed"]
    assert list(CallbackLog.objects.order_by("pk").values_list("verdict", flat=True)) == [
        "applied", "repeated"
    ]  # fmt: skip


def test_a_callback_is_one_select_and_one_transaction(pending: Transaction) -> None:
    with CaptureQueriesContext(connection) as asked:
        _post(callback_body(pending))
    words = [query["sql"].split()[0] for query in asked]
    # On PostgreSQL, SET says for how long a lock is waited for.
    assert [word for word in words if word not in ("BEGIN", "COMMIT", "SET")] == [
        "SELECT", "UPDATE", "INSERT",
    ]  # fmt: skip


def test_a_refusal_by_callback(pending: Transaction, heard: Heard) -> None:
    _post(callback_body(pending, "INS-5"))
    pending.refresh_from_db()
    assert (pending.state, pending.response_code) == ("cancelled", "INS-5")
    assert _names(heard)[-1] == "cancelled"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"input_ThirdPartyReference": "SOMEBODYELSES"}, "unmatched"),
        ({"input_OriginalConversationID": "AG_20180206_x"}, "mismatched"),
    ],
)
def test_a_forged_callback_is_kept_told_and_changes_nothing(
    pending: Transaction, heard: Heard, changes: dict[str, str], verdict: str
) -> None:
    assert _post(callback_body(pending, **changes)).status_code == 200
    pending.refresh_from_db()
    assert pending.state == "pending"
    log = CallbackLog.objects.get()
    assert log.verdict == verdict
    assert heard[-1][0] == "callback_rejected"
    assert log.remote_address == "127.0.0.1"


def test_contradicting_news_is_kept_for_a_person(pending: Transaction, heard: Heard) -> None:
    _post(callback_body(pending))
    for _ in range(2):
        assert _post(callback_body(pending, "INS-6")).status_code == 200
    _post(callback_body(pending, input_TransactionID="ANOTHER1"))
    pending.refresh_from_db()
    assert (pending.state, pending.transaction_id) == ("completed", "4XDF12345")
    assert "ANOTHER1" in pending.conflict
    assert _names(heard).count("conflict") == 2
    assert [log.verdict for log in CallbackLog.objects.order_by("pk")] == [
        "applied", "conflict", "conflict", "conflict"
    ]  # fmt: skip


def test_a_callback_that_overtakes_the_answer_counts_once_the_answer_names_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, heard: Heard
) -> None:
    simulator.response_url = ASYNC_URL
    simulator.scenarios.queue("callback_never", operation="c2b")
    account = mpesa["default"]
    send = account.client.send

    def overtaken(request: Any) -> Any:
        result = send(request)
        early = Transaction.objects.get()
        early.conversation_id = str(result.conversation_id)
        _post(callback_body(early))
        assert Transaction.objects.get().state == "initiated"
        assert CallbackLog.objects.get().verdict == "early"
        return result

    monkeypatch.setattr(account.client, "send", overtaken)
    record = mpesa.c2b(**PAYMENT)
    assert (record.state, record.transaction_id) == ("completed", "4XDF12345")
    assert CallbackLog.objects.get().verdict == "applied"
    assert _names(heard) == ["initiated", "pending", "completed"]


def test_a_success_is_confirmed_before_it_counts_where_that_is_asked_for(
    simulator: Simulator, settings: Settings, heard: Heard
) -> None:
    settings.MPESA = {"default": account_settings(simulator, VERIFY_CALLBACKS=True)}
    simulator.response_url = ASYNC_URL
    simulator.scenarios.queue("callback_delayed", operation="c2b", delay=600)
    record = mpesa.c2b(**PAYMENT)
    _post(callback_body(record))
    record.refresh_from_db()
    assert record.state == "pending"
    assert CallbackLog.objects.get().verdict == "unconfirmed"
    transaction_ = simulator.ledger.find(record.third_party_reference)
    assert transaction_ is not None
    booked = simulator.ledger.settle(transaction_)
    _post(callback_body(record, input_TransactionID=str(booked.transaction_id)))
    record.refresh_from_db()
    assert (record.state, record.transaction_id) == ("completed", booked.transaction_id)


def test_a_wrong_token_is_nothing_to_be_found(pending: Transaction) -> None:
    for token in ("x", TOKEN + "x", TOKEN[:-1], "ação"):
        answer = _post(callback_body(pending), token)
        assert answer.status_code == 404
        assert b"token" not in answer.content.lower() or TOKEN.encode() not in answer.content
    assert not CallbackLog.objects.exists()


@pytest.mark.parametrize(
    ("body", "extra", "status"),
    [
        (b"{}", {}, 400),
        (b"[" * 60_000, {}, 400),
        (b"x" * 70_000, {}, 413),
        (b"a=b", {"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_what_is_no_callback_is_refused(
    simulator: Simulator, body: bytes, extra: dict[str, str], status: int
) -> None:
    assert _post(body, **extra).status_code == status
    assert CallbackLog.objects.count() == (1 if status == 400 else 0)


def test_only_a_post_is_taken(simulator: Simulator) -> None:
    assert Client().get(f"/mpesa/callback/{TOKEN}/").status_code == 405


def test_a_post_needs_no_csrf_token(pending: Transaction) -> None:
    answer = Client(enforce_csrf_checks=True).post(
        f"/mpesa/callback/{TOKEN}/", json.dumps(callback_body(pending)), "application/json"
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("10.1.2.3", None, 200),
        ("192.0.2.1", None, 404),
        ("192.0.2.1", "10.1.2.3", 404),  # a stranger's word
        ("127.0.0.1", "10.1.2.3", 200),  # a trusted proxy's
        ("127.0.0.1", "10.1.2.3, 192.0.2.9", 404),  # what the proxy saw is the last
        ("127.0.0.1", None, 404),
        ("nonsense", None, 404),
    ],
)
def test_only_allowed_networks_may_call(
    simulator: Simulator, settings: Settings, address: str, forwarded: str | None,
    status: int,
) -> None:  # fmt: skip
    settings.MPESA = {
        "default": account_settings(
            simulator, CALLBACK_NETWORKS=["10.0.0.0/8"], TRUSTED_PROXIES=["127.0.0.0/8"]
        )
    }
    record = mpesa.c2b(**PAYMENT)
    extra: dict[str, Any] = {"REMOTE_ADDR": address}
    if forwarded:
        extra["HTTP_X_FORWARDED_FOR"] = forwarded
    assert _post(callback_body(record), **extra).status_code == status


def test_the_database_holds_what_must_hold() -> None:
    def save(**changes: Any) -> None:
        values = {"operation": "c2b", "amount": 10, "third_party_reference": "A", **changes}
        with transaction.atomic():
            rows.make(**values)

    save()
    for wrong in (
        {"third_party_reference": "A"},
        {"third_party_reference": "B", "amount": 0},
        {"third_party_reference": "C", "reversed_amount": 11},
        {"third_party_reference": "D", "state": "rich"},
    ):
        with pytest.raises(IntegrityError):
            save(**wrong)
    save(third_party_reference="A", account="other")


def test_inside_atomic_the_record_outlives_a_rollback_or_the_call_is_refused(
    simulator: Simulator, heard: Heard
) -> None:
    class Rollback(Exception):  # noqa: N818
        pass

    if connection.vendor == "sqlite":
        with transaction.atomic(), pytest.raises(CalledInTransaction, match="on_commit"):
            mpesa.c2b(**PAYMENT)
        assert simulator.ledger.transactions() == []
        return

    def pay_and_fail() -> None:
        with transaction.atomic():
            assert mpesa.c2b(**PAYMENT).state == "completed"
            assert heard == []  # sent when the caller's transaction commits
            raise Rollback

    with pytest.raises(Rollback):
        pay_and_fail()
    assert Transaction.objects.get().state == "completed"
    assert heard == []
    _make_due()
    mpesa.reconcile()
    assert _names(heard) == ["initiated", "completed"]
    heard.clear()
    with transaction.atomic():
        mpesa.c2b(**PAYMENT)
    assert _names(heard) == ["initiated", "completed"]


def test_many_callbacks_at_once_win_once(pending: Transaction, heard: Heard) -> None:
    def post(number: int) -> int:
        try:
            return int(_post(callback_body(pending)).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(24))) == {200}
    assert _names(heard).count("completed") == 1
    verdicts = list(CallbackLog.objects.values_list("verdict", flat=True))
    assert sorted(set(verdicts)) in (["applied", "repeated"], ["applied"])
    assert len(verdicts) == 24


def test_phone_numbers_do_not_show(simulator: Simulator) -> None:
    record = mpesa.c2b(**PAYMENT)
    assert "258841234567" not in f"{record} {record!r}"
    assert record.masked_msisdn == "25884•••4567"


def test_what_is_given_back_in_parts_adds_up_to_the_centavo(simulator: Simulator) -> None:
    paid = mpesa.c2b(**{**PAYMENT, "amount": "0.30"})
    for part in ("0.10", "0.20"):
        assert mpesa.reverse(transaction_id=paid.transaction_id, amount=part).state == "completed"
    paid.refresh_from_db()
    assert (paid.state, paid.reversed_amount) == ("reversed", Decimal("0.30"))


@pytest.fixture
def autocommit_off() -> Iterator[None]:
    transaction.set_autocommit(False)
    yield
    transaction.rollback()
    transaction.set_autocommit(True)


def test_with_autocommit_off_the_record_outlives_a_rollback_or_the_call_is_refused(
    simulator: Simulator, heard: Heard, autocommit_off: None
) -> None:
    if connection.vendor == "sqlite":
        with pytest.raises(CalledInTransaction, match="autocommit"):
            mpesa.c2b(**PAYMENT)
        assert simulator.ledger.transactions() == []
        return
    assert mpesa.c2b(**PAYMENT).state == "completed"
    transaction.rollback()
    assert Transaction.objects.get().state == "completed"
    assert heard == []  # what a receiver writes would be undone with the caller's own
    transaction.rollback()
    transaction.set_autocommit(True)
    _make_due()
    mpesa.reconcile()
    assert _names(heard) == ["initiated", "completed"]


def test_with_autocommit_off_no_callback_is_acknowledged_and_then_lost(
    pending: Transaction, heard: Heard, autocommit_off: None
) -> None:
    if connection.vendor == "sqlite":
        assert _post(callback_body(pending)).status_code == 500
        return
    assert _post(callback_body(pending)).status_code == 200
    transaction.rollback()
    assert CallbackLog.objects.get().verdict == "applied"
    assert Transaction.objects.get().state == "completed"
