"""The organiser gives money back, on pretix's own pages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from django.test import Client
from django.utils.timezone import now, timedelta
from django_scopes import scope, scopes_disabled
from pretix.base.models import OrderRefund
from pretix.base.payment import PaymentException
from pretix.base.shredder import PaymentInfoShredder
from pretix_mpesa_integrations import provider, refunds

from django_mpesa import RecordsUnavailable, State, mpesa
from django_mpesa.models import Transaction
from mpesa_integrations.simulator import Simulator

from .cron import run_cron
from .shopper import Shopper

# Each for real: pretix gives money back inside a transaction.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def paid(event: Any) -> Shopper:
    """A customer who has paid."""
    shopper = Shopper(event)
    shopper.buy()
    assert shopper.payment.state == "confirmed"
    return shopper


def _refunds() -> list[Any]:
    with scopes_disabled():
        return list(OrderRefund.objects.order_by("pk"))


def _give_back(admin: Client, paid: Shopper, amount: str) -> Any:
    url = f"/control/event/festas/marrabenta/orders/{paid.order.code}/refund"
    newest = max((refund.pk for refund in _refunds()), default=0)
    data = {
        "last_known_refund_id": str(newest),
        "start-action": "do_nothing",
        "start-mode": "partial",
        "start-partial_amount": amount,
        "perform": "true",
        f"refund-{paid.payment.pk}": amount,
    }
    return admin.post(url, data, follow=True)


def _page(admin: Client, paid: Shopper) -> str:
    url = f"/control/event/festas/marrabenta/orders/{paid.order.code}/"
    return admin.get(url).content.decode()


def test_all_of_it(admin: Client, paid: Shopper, simulator: Simulator) -> None:
    _give_back(admin, paid, "150.50")
    (refund,) = _refunds()
    assert (refund.state, refund.amount) == ("done", Decimal("150.50"))
    assert paid.payment.state == "refunded"
    (record,) = Transaction.objects.filter(operation="c2b")
    assert record.state == "reversed"
    assert refund.info_data["third_party_reference"]


def test_in_parts_and_never_more_than_was_paid(admin: Client, paid: Shopper) -> None:
    _give_back(admin, paid, "50.25")
    _give_back(admin, paid, "100.25")
    assert [(found.state, found.amount) for found in _refunds()] == [
        ("done", Decimal("50.25")),
        ("done", Decimal("100.25")),
    ]
    _give_back(admin, paid, "0.01")
    assert len(_refunds()) == 2
    assert Transaction.objects.get(operation="c2b").reversed_amount == Decimal("150.50")


def test_what_is_open_is_in_transit_until_it_is_known(
    admin: Client, paid: Shopper, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_after", operation="reversal")
    _give_back(admin, paid, "50.00")
    (refund,) = _refunds()
    assert refund.state == "transit"
    assert "M-Pesa has not said yet" in _page(admin, paid)
    run_cron()
    (refund,) = _refunds()
    assert refund.state == "done"
    assert "M-Pesa has not said yet" not in _page(admin, paid)


def test_what_mpesa_refuses_failed(admin: Client, paid: Shopper, simulator: Simulator) -> None:
    simulator.scenarios.queue("insufficient_balance", operation="reversal")
    _give_back(admin, paid, "50.00")
    assert "INS-2006" in _page(admin, paid)
    (refund,) = _refunds()
    assert refund.state == "failed"
    assert paid.payment.state == "confirmed"
    _give_back(admin, paid, "50.00")
    assert [found.state for found in _refunds()] == ["failed", "done"]


def test_outside_of_a_transaction_a_refusal_is_an_error(
    paid: Shopper, simulator: Simulator
) -> None:
    simulator.scenarios.queue("insufficient_balance", operation="reversal")
    with scope(organizer=paid.event.organizer):
        refund = _new_refund(paid)
        with pytest.raises(PaymentException, match="INS-2006"):
            refund.payment_provider.execute_refund(refund)


def test_a_refund_that_its_process_left_behind_is_given_back_once(
    paid: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scope(organizer=paid.event.organizer):
        refund = _new_refund(paid)
        with monkeypatch.context() as dying:
            dying.setattr(provider, "give_back", Mock(side_effect=SystemExit))
            with pytest.raises(SystemExit):
                refund.payment_provider.execute_refund(refund)
        OrderRefund.objects.update(created=now() - timedelta(hours=1))
    assert [found.state for found in _refunds()] == ["transit"]
    run_cron()
    run_cron()
    assert [found.state for found in _refunds()] == ["done"]
    assert Transaction.objects.get(operation="c2b").reversed_amount == 50


def test_a_refund_that_cannot_be_recorded_just_now_is_asked_for_again_by_the_same_key(
    paid: Shopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scope(organizer=paid.event.organizer):
        refund = _new_refund(paid)
        with monkeypatch.context() as away:
            accounts = MagicMock()
            accounts.__getitem__.return_value.reverse.side_effect = RecordsUnavailable("away")
            away.setattr(refunds, "mpesa", accounts)
            refund.payment_provider.execute_refund(refund)
        assert [found.state for found in _refunds()] == ["transit"]
        OrderRefund.objects.update(created=now() - timedelta(hours=1))
    run_cron()
    assert [found.state for found in _refunds()] == ["done"]
    assert Transaction.objects.get(operation="c2b").reversed_amount == 50


def test_a_refund_that_is_but_noted_by_pretixs_api_moves_no_money(paid: Shopper) -> None:
    with scope(organizer=paid.event.organizer):
        for payment, info in ((paid.payment, '{"account": "cash"}'), (None, "5")):
            _new_refund(paid, state="transit", payment=payment, info=info)
        OrderRefund.objects.update(created=now() - timedelta(hours=1))
    run_cron()
    assert [found.state for found in _refunds()] == ["transit", "transit"]
    assert not Transaction.objects.filter(operation="reversal").exists()


def _new_refund(paid: Shopper, **changes: Any) -> Any:
    values = {"payment": paid.payment, "source": "admin", "state": "created", **changes}
    return paid.order.refunds.create(amount=50, provider="vodacom_mpesa", **values)


def test_what_is_found_out_later_to_have_failed(
    admin: Client, paid: Shopper, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_before", operation="reversal")
    _give_back(admin, paid, "50.00")
    (refund,) = _refunds()
    assert refund.state == "transit"
    (record,) = Transaction.objects.filter(operation="reversal")
    mpesa[record.account].resolve(record, State.FAILED, by="admin", note="not in the statement")
    (refund,) = _refunds()
    assert refund.state == "failed"


def test_the_history_says_that_what_a_person_marked_as_done_failed(
    admin: Client, paid: Shopper, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_before", operation="reversal")
    _give_back(admin, paid, "50.00")
    (refund,) = _refunds()
    with scope(organizer=paid.event.organizer):
        refund.done()
    (record,) = Transaction.objects.filter(operation="reversal")
    mpesa[record.account].resolve(record, State.FAILED, by="admin", note="not in the statement")
    (refund,) = _refunds()
    assert refund.state == "done"
    assert "pretix.event.order.refund.failed" in paid.history


def test_who_shreds_payment_information_shreds_the_phone_number(paid: Shopper) -> None:
    with scope(organizer=paid.event.organizer):
        refund = _new_refund(paid)
        refund.payment_provider.execute_refund(refund)
        PaymentInfoShredder(paid.event).shred_data()
    assert {record.msisdn for record in Transaction.objects.all()} == {""}
    assert "msisdn" not in paid.payment.info_data
    assert Transaction.objects.get(operation="c2b").reversed_amount == 50


def test_what_is_queued_keeps_the_phone_number_that_it_is_sent_to(
    event: Any, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETIX_MPESA_SEND", "worker")
    Shopper(event).buy()
    with scope(organizer=event.organizer):
        PaymentInfoShredder(event).shred_data()
    (record,) = Transaction.objects.all()
    assert (record.state, record.msisdn) == ("queued", "258841234567")


def test_what_went_back_without_pretix_is_an_external_refund(paid: Shopper) -> None:
    (record,) = Transaction.objects.all()
    mpesa[record.account].reverse(record, "20.00")
    (refund,) = _refunds()
    assert (refund.state, refund.source, refund.amount) == ("external", "external", 20)


def test_the_organiser_sees_the_record_and_no_whole_number(admin: Client, paid: Shopper) -> None:
    page = _page(admin, paid)
    assert Transaction.objects.get().third_party_reference in page
    assert "25884•••4567" in page
    assert "841234567" not in page
