"""A customer pays, or does not, on pretix's own pages."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils.timezone import now, timedelta
from django_scopes import scope, scopes_disabled
from pretix.base.models import Event
from pretix.base.payment import PaymentException
from pretix.base.services.orders import change_payment_provider
from pretix_mpesa_integrations.booking import confirm

from django_mpesa import State, mpesa
from django_mpesa.models import CallbackLog, Transaction
from django_mpesa.test import mpesa_gateway
from mpesa_integrations.simulator import Simulator

from .conftest import PREFIX, TOKEN
from .cron import run_cron
from .shopper import POOR, RICH, Shopper

pytestmark = pytest.mark.django_db


@pytest.fixture
def shopper(event: Any) -> Shopper:
    return Shopper(event)


def _call_back() -> Transaction:
    """Have a callback say that the only payment was paid; its record as it was before."""
    (record,) = Transaction.objects.all()
    news = {
        "input_OriginalConversationID": record.conversation_id,
        "input_ThirdPartyReference": record.third_party_reference,
        "input_TransactionID": "4XDF12345",
        "input_ResultCode": "INS-0",
        "input_ResultDesc": "Request processed successfully",
    }
    answer = Client().post(f"/_mpesa/callback/{TOKEN}/", news, content_type="application/json")
    assert answer.status_code == 200
    return record


def _paid_mails() -> list[Any]:
    return [message for message in mail.outbox if "Payment received" in message.subject]


def test_a_customer_pays(shopper: Shopper, simulator: Simulator) -> None:
    page = shopper.buy().content.decode()
    assert "We successfully received your payment" in page
    assert shopper.order.status == "p"
    payment = shopper.payment
    assert (payment.state, payment.amount) == ("confirmed", Decimal("150.50"))
    (entry,) = simulator.ledger.transactions()
    assert entry.amount == Decimal("150.50")
    assert payment.info_data["transaction_id"] == entry.transaction_id
    assert payment.info_data["account"] == f"event-{shopper.event.pk}"
    assert "841234567" not in payment.info
    assert len(_paid_mails()) == 1


def test_before_it_is_confirmed_nobody_is_asked(shopper: Shopper, simulator: Simulator) -> None:
    with scopes_disabled():
        ticket = shopper.event.items.get()
    shopper.post("/cart/add", {f"item_{ticket.pk}": "1"})
    shopper.post("/checkout/questions/", {"email": "ana@example.com"})
    page = shopper.pay_with(RICH).content.decode()
    assert "asks for your PIN on the phone 84 123 4567" in page
    assert simulator.ledger.transactions() == []


@pytest.mark.parametrize("phone", ["", "my phone", "86 123 4567"])
def test_a_wrong_number_is_said_at_the_field(shopper: Shopper, phone: str) -> None:
    with scopes_disabled():
        ticket = shopper.event.items.get()
    shopper.post("/cart/add", {f"item_{ticket.pk}": "1"})
    shopper.post("/checkout/questions/", {"email": "ana@example.com"})
    page = shopper.pay_with(phone)
    assert page.redirect_chain == []
    assert "has-error" in page.content.decode()


def test_who_did_not_pay_is_told_why_and_pays_with_another_phone(
    shopper: Shopper, simulator: Simulator
) -> None:
    page = shopper.buy(POOR).content.decode()
    assert "not enough money" in page
    assert "with the same phone or another one" in page
    assert shopper.payment.state == "failed"
    assert shopper.payment.info_data["response_code"] == "INS-2006"
    shopper.try_again(RICH)
    assert [payment.state for payment in shopper.payments] == ["failed", "confirmed"]
    assert shopper.order.status == "p"
    assert len([found for found in simulator.ledger.transactions() if found.code == "INS-0"]) == 1


def test_the_same_phone_may_try_again(shopper: Shopper, simulator: Simulator) -> None:
    simulator.scenarios.queue("cancelled", operation="c2b")
    shopper.buy(RICH)
    assert shopper.payment.state == "failed"
    shopper.try_again(RICH)
    assert shopper.order.status == "p"


def test_an_unknown_outcome_waits_until_it_is_reconciled(
    shopper: Shopper, simulator: Simulator
) -> None:
    simulator.scenarios.queue("cut_after", operation="c2b")  # paid, and the answer never comes
    page = shopper.buy().content.decode()
    assert "do not pay again" in page
    assert "data-mpesa-status" in page
    assert "pretix_mpesa_integrations/pending.js" in page
    assert "25884•••4567" in page
    assert (shopper.order.status, shopper.payment.state) == ("n", "pending")
    assert shopper.follow().json()["is_open"] is True
    # Nobody pays twice: neither the customer in another way, nor can the organiser cancel it.
    url = f"/order/{shopper.order.code}/{shopper.order.secret}/pay/change"
    assert (
        "currently pending" in shopper.client.get(shopper.shop + url, follow=True).content.decode()
    )
    with scope(organizer=shopper.event.organizer), pytest.raises(PaymentException):
        shopper.payment.payment_provider.cancel_payment(shopper.payment)
    run_cron()
    assert (shopper.order.status, shopper.payment.state) == ("p", "confirmed")
    told = shopper.follow()
    assert (told.json()["is_open"], told.json()["is_paid"]) == (False, True)
    assert "no-store" in told["Cache-Control"]
    assert "data-mpesa-status" not in shopper.look()
    run_cron()
    assert len(_paid_mails()) == len(simulator.ledger.transactions()) == 1


def test_a_callback_that_comes_twice_confirms_once(shopper: Shopper) -> None:
    account = f"event-{shopper.event.pk}"
    with mpesa_gateway(account=account, asynchronous=True) as gateway:
        assert "type your M-Pesa PIN" in shopper.buy().content.decode()
        assert (shopper.order.status, shopper.payment.state) == ("n", "pending")
        gateway.deliver()
        (stored,) = CallbackLog.objects.all()
        again = Client().post(
            f"/_mpesa/callback/{TOKEN}/", bytes(stored.body), content_type="application/json"
        )
        assert again.status_code == 200
    assert (shopper.order.status, shopper.payment.state) == ("p", "confirmed")
    assert len(_paid_mails()) == 1


@pytest.mark.parametrize("sharer", ["organizer", "event"])
def test_an_account_has_its_callbacks_by_a_token_that_it_shares(
    event: Any, credentials: dict[str, str], simulator: Simulator, sharer: str
) -> None:
    token = f"{PREFIX}callback_token_secret"
    with scopes_disabled():
        if sharer == "event":  # of which another is made
            shop = Event.objects.create(
                organizer=event.organizer, name="Again", slug="again", plugins=event.plugins,
                date_from=event.date_from, currency="MZN", live=True, testmode=True,
            )  # fmt: skip
            shop.copy_data_from(event)
        else:
            shop = event
            del event.settings[token]
            for name, value in {**credentials, "callback_token_secret": TOKEN}.items():
                event.organizer.settings.set(PREFIX + name, value)
    simulator.response_url = "https://127.0.0.1:18997/nobody"
    simulator.scenarios.queue("callback_never", operation="c2b")
    shopper = Shopper(shop)
    shopper.buy()
    assert (shopper.payment.state, mpesa.accepting(TOKEN)[1:]) == ("pending", [f"event-{shop.pk}"])
    _call_back()
    assert [found.verdict for found in CallbackLog.objects.all()] == ["applied"]
    assert (shopper.order.status, shopper.payment.state) == ("p", "confirmed")


def test_a_strangers_callback_is_answered_with_nothing(shopper: Shopper) -> None:
    answer = Client().post("/_mpesa/callback/not-the-token-of-anybody/", {})
    assert answer.status_code == 404


def test_with_a_worker_the_page_comes_at_once(
    shopper: Shopper, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETIX_MPESA_SEND", "worker")
    assert "Keep your phone at hand" in shopper.buy().content.decode()
    assert simulator.ledger.transactions() == []
    sender = mpesa[f"event-{shopper.event.pk}"].queue_sender()
    sender.run_once()
    sender.finish(10)
    assert (shopper.order.status, shopper.payment.state) == ("p", "confirmed")


def test_what_is_queued_can_be_cancelled(
    shopper: Shopper, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRETIX_MPESA_SEND", "worker")
    shopper.buy()
    with scope(organizer=shopper.event.organizer):
        shopper.payment.payment_provider.cancel_payment(shopper.payment)
    assert shopper.payment.state in ("failed", "canceled")
    sender = mpesa[f"event-{shopper.event.pk}"].queue_sender()
    assert not sender.run_once()
    sender.finish(0)
    assert simulator.ledger.transactions() == []


def test_a_payment_is_confirmed_however_often_its_handler_runs(shopper: Shopper) -> None:
    shopper.buy()
    (record,) = Transaction.objects.all()
    for _ in range(2):
        confirm(record)
    assert shopper.payment.state == "confirmed"
    assert len(_paid_mails()) == 1


def test_money_for_tickets_that_are_gone_is_kept_on_record(
    shopper: Shopper, simulator: Simulator
) -> None:
    """The customer took so long that the order expired, and others bought the last tickets."""
    simulator.scenarios.queue("cut_after", operation="c2b")
    shopper.buy()
    with scopes_disabled():
        shopper.event.quotas.update(size=0)
        order = shopper.order
        order.status, order.expires = "e", now() - timedelta(days=1)
        order.save()
    run_cron()
    assert (shopper.order.status, shopper.payment.state) == ("e", "confirmed")
    assert "pretix.event.order.quotaexceeded" in shopper.history


def test_contradicting_news_is_the_organisers_to_look_at(
    shopper: Shopper, simulator: Simulator, admin: Client
) -> None:
    shopper.buy(POOR)
    record = _call_back()
    assert shopper.payment.state == "failed"
    page = admin.get(f"/control/event/festas/marrabenta/orders/{shopper.order.code}/")
    assert f"look up {record.third_party_reference}" in page.content.decode()


def test_after_contradicting_news_nobody_pays_again_before_a_person_has_decided(
    shopper: Shopper, simulator: Simulator
) -> None:
    shopper.buy(POOR)
    record = _call_back()
    assert "do not pay again" in shopper.look()
    shopper.try_again(RICH)
    assert [payment.state for payment in shopper.payments] == ["failed"]
    assert [found.code for found in simulator.ledger.transactions()] == ["INS-2006"]
    mpesa[record.account].resolve(record, State.FAILED, by="admin", note="not in the statement")
    shopper.try_again(RICH)
    assert [payment.state for payment in shopper.payments] == ["failed", "confirmed"]


@pytest.mark.parametrize("first", ["pending", "canceled"])
def test_a_second_tab_asks_no_phone_while_the_first_ones_payment_is_open(
    shopper: Shopper, simulator: Simulator, first: str
) -> None:
    simulator.scenarios.queue("cut_after", operation="c2b")
    shopper.buy()
    with scope(organizer=shopper.event.organizer):
        provider = shopper.payment.payment_provider
        # Both were sent when the first payment was nobody's yet.
        change_payment_provider(shopper.order, provider, None)
        shopper.order.payments.filter(local_id=1).update(state=first)
    page = shopper.confirm(shopper.payment)
    assert "already under way" in page.content.decode()
    assert [payment.state for payment in shopper.payments] == [first, "failed"]
    assert len(simulator.ledger.transactions()) == 1
    assert f"/{shopper.payments[0].pk}/" in _followed(shopper.look())
    run_cron()
    assert (shopper.order.status, shopper.payments[0].state) == ("p", "confirmed")


@pytest.mark.parametrize("meanwhile", ["paid", "canceled"])
def test_a_page_left_open_asks_no_phone_of_an_order_that_needs_no_money(
    shopper: Shopper, simulator: Simulator, meanwhile: str
) -> None:
    shopper.buy(POOR)
    with scope(organizer=shopper.event.organizer):
        order = shopper.order
        change_payment_provider(order, shopper.payment.payment_provider, None)
        left_open = shopper.payment
        if meanwhile == "paid":
            order.payments.create(provider="manual", amount=order.total).confirm()
        else:
            order.status = order.STATUS_CANCELED
            order.save()
    page = shopper.confirm(left_open)
    assert "This payment cannot be continued" in page.content.decode()
    assert [payment.state for payment in shopper.payments][:2] == ["failed", "failed"]
    assert [found.code for found in simulator.ledger.transactions()] == ["INS-2006"]


def _followed(page: str) -> str:
    """The address that an order's page asks."""
    return page.partition('data-mpesa-status="')[2].partition('"')[0]


def test_a_payment_stays_with_its_account_whatever_is_set_meanwhile(
    event: Any, shopper: Shopper, credentials: dict[str, str], simulator: Simulator
) -> None:
    for name, value in {**credentials, "callback_token_secret": TOKEN}.items():
        event.organizer.settings.set(PREFIX + name, value)
        del event.settings[PREFIX + name]
    simulator.scenarios.queue("cut_after", operation="c2b")
    shopper.buy()
    assert shopper.payment.info_data["account"] == f"organizer-{event.organizer_id}"
    event.settings.set(f"{PREFIX}initiator_identifier", "another")
    with scope(organizer=event.organizer):
        request: Any = SimpleNamespace(session={f"{PREFIX}msisdn": "258841234567"})
        payment = shopper.payment
        assert payment.payment_provider.execute_payment(request, payment) is None
        del event.organizer.settings[f"{PREFIX}api_key"]
        event.settings.set(f"{PREFIX}api_key", credentials["api_key"])
        payment = shopper.payment
        assert payment.payment_provider.execute_payment(request, payment) is None
    assert [payment.state for payment in shopper.payments] == ["pending"]
    assert len(simulator.ledger.transactions()) == 1


def test_a_customer_is_told_nothing_of_keys(shopper: Shopper, event: Any) -> None:
    event.settings.set(f"{PREFIX}public_key", "broken meanwhile")
    page = shopper.buy().content.decode()
    assert "cannot be asked just now" in page
    assert "public_key" not in page
    assert shopper.payment.state == "failed"
    assert "public_key" in shopper.payment.info_data["error"]


@pytest.mark.parametrize("changed", [{"testmode": False}, {"currency": "EUR"}])
def test_the_sandbox_sells_nothing_of_an_event_on_sale_and_nobody_pays_in_euros(
    shopper: Shopper, changed: dict[str, Any]
) -> None:
    with scopes_disabled():
        Event.objects.filter(pk=shopper.event.pk).update(**changed)
    with scopes_disabled():
        ticket = shopper.event.items.get()
    shopper.post("/cart/add", {f"item_{ticket.pk}": "1"})
    shopper.post("/checkout/questions/", {"email": "ana@example.com"})
    assert 'value="vodacom_mpesa"' not in shopper.pay_with(RICH).content.decode()


def test_another_event_of_the_account_knows_nothing_of_a_payment(shopper: Shopper) -> None:
    shopper.buy()
    url = f"{shopper.shop}/mpesa/{shopper.order.code}/notthesecret/{shopper.payment.pk}/"
    assert shopper.client.get(url).status_code == 404


def test_in_portuguese(shopper: Shopper) -> None:
    shopper.event.settings.locales = ["pt-br"]
    shopper.event.settings.locale = "pt-br"
    page = shopper.buy(POOR).content.decode()
    assert "com o mesmo telemóvel ou com outro" in page
    assert "150,50" in page
