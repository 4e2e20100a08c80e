"""Durable handlers of a Django project: after the commit, each in a transaction of its own."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import TestCase
from django.utils import timezone

from django_mpesa import mpesa, signals
from django_mpesa.models import OutboxEntry, Transaction
from django_mpesa.test import mpesa_gateway
from mpesa_integrations.core.payments.handler_runs import Ran
from mpesa_integrations.core.payments.schedule import MOST_ATTEMPTS
from mpesa_integrations.simulator import Simulator
from tests.support.awaitables import Disguise, each_disguise

PAYMENT: dict[str, Any] = {"msisdn": "84 123 4567", "amount": "150.00", "reference": "ORDER 7"}


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpesa._handlers, "_handlers", {})


def _make_due() -> None:
    OutboxEntry.objects.update(due_at=timezone.now() - timedelta(minutes=1))


def _groups() -> list[str]:
    return list(Group.objects.order_by("name").values_list("name", flat=True))


@pytest.mark.django_db(transaction=True)
class TestOutsideOfATestCase:
    """With real commits."""

    def test_what_it_does_and_its_row_are_one_transaction(self, simulator: Simulator) -> None:
        fails = [True]
        blocks: list[bool] = []

        @mpesa.handler(signals.payment_completed, name="ship")
        def ship(payment: Transaction) -> None:
            blocks.append(connection.in_atomic_block)
            Group.objects.create(name=f"shipped {payment.reference}")
            payment.metadata["shipped"] = True
            payment.save()
            if fails:
                raise ValueError

        paid = mpesa.c2b(**PAYMENT)
        assert (paid.state, _groups(), blocks) == ("completed", [], [True])
        (row,) = OutboxEntry.objects.all()
        assert (row.handler, row.attempts, row.sequence) == ("ship", 1, 1)
        fails.clear()
        _make_due()
        assert mpesa.reconcile().dispatched == 1
        assert _groups() == ["shipped ORDER 7"]
        assert not OutboxEntry.objects.exists()
        paid.refresh_from_db()
        assert paid.metadata == {"shipped": True}

    def test_it_is_run_once_the_callers_transaction_is_committed(
        self, simulator: Simulator
    ) -> None:
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has one writer: the call is refused there")
        called: list[str] = []

        @mpesa.handler("payment_completed", name="ship")
        def ship(payment: Transaction) -> None:
            called.append(payment.reference)

        with transaction.atomic():
            assert mpesa.c2b(**PAYMENT).state == "completed"
            assert called == []
        assert called == ["ORDER 7"]
        with transaction.atomic():
            mpesa.c2b(**PAYMENT)
            transaction.set_rollback(True)
        assert called == ["ORDER 7"]
        _make_due()
        mpesa.reconcile()
        assert called == ["ORDER 7"] * 2  # the payment was made, whatever became of the caller

    def test_what_a_handler_leaves_for_the_commit_is_done_after_it(
        self, simulator: Simulator
    ) -> None:
        seen: list[bool] = []

        @mpesa.handler("payment_completed", name="ship")
        def ship(payment: Transaction) -> None:
            transaction.on_commit(lambda: seen.append(OutboxEntry.objects.exists()))

        mpesa.c2b(**PAYMENT)
        assert seen == [False]

    def test_an_error_that_it_swallows_does_not_settle_it(self, simulator: Simulator) -> None:
        @mpesa.handler("payment_completed", name="ship")
        def ship(payment: Transaction) -> None:
            Group.objects.create(pk=1, name="a")
            with suppress(IntegrityError):
                Group.objects.create(pk=1, name="b")

        assert mpesa.c2b(**PAYMENT).state == "completed"
        assert (_groups(), OutboxEntry.objects.get().attempts) == ([], 1)

    def test_a_person_is_told_by_a_signal(self, simulator: Simulator) -> None:
        told: list[Any] = []

        @mpesa.handler("payment_completed", name="ship")
        def ship(payment: Transaction) -> None:
            raise ValueError

        def tell(sender: Any, **values: Any) -> None:
            told.append((sender, values["transaction"], values["handler"], values["event_id"]))

        signals.handler_failed.connect(tell)
        try:
            paid = mpesa.c2b(**PAYMENT)
            for _ in range(MOST_ATTEMPTS):
                _make_due()
                mpesa.reconcile()
        finally:
            signals.handler_failed.disconnect(tell)
        row = OutboxEntry.objects.get()
        assert told == [(Transaction, paid, "ship", row.pk)]
        assert row.given_up_at is not None

    @each_disguise
    def test_an_asynchronous_handler_is_run_to_its_end(
        self, simulator: Simulator, disguise: Disguise
    ) -> None:
        fails = [True]

        async def ship(payment: Transaction) -> None:
            await Group.objects.acreate(name=payment.reference)
            if fails:
                raise ValueError

        mpesa.handler("payment_completed", name="ship")(disguise(ship))
        mpesa.c2b(**PAYMENT)
        assert (_groups(), OutboxEntry.objects.count()) == ([], 1)
        fails.clear()
        assert mpesa.run_again(OutboxEntry.objects.get().pk) is Ran.DONE
        assert (_groups(), OutboxEntry.objects.count()) == (["ORDER 7"], 0)


class ShopTests(TestCase):
    """As a shop has them: inside Django's TestCase, whose transaction is rolled back."""

    def test_a_sale(self) -> None:
        fails = [True]

        @mpesa.handler(signals.payment_completed)
        def ship(payment: Transaction) -> None:
            Group.objects.create(name=payment.reference)
            if fails:
                raise ValueError

        with mpesa_gateway():
            assert mpesa.c2b(**PAYMENT).state == "completed"
            assert _groups() == []
            (left,) = mpesa.unfinished_handlers()
            assert left.handler == f"{__name__}.ShopTests.test_a_sale.<locals>.ship"
            fails.clear()
            assert mpesa.run_again(left.event_id) is Ran.DONE
        assert _groups() == ["ORDER 7"]


@pytest.mark.django_db(transaction=True)
def test_the_handlers_outlive_a_change_of_the_settings(simulator: Simulator, settings: Any) -> None:
    called: list[str] = []
    mpesa.handler("payment_completed", name="ship")(lambda payment: called.append("ship"))
    settings.MPESA = dict(settings.MPESA)
    mpesa.c2b(**PAYMENT)
    assert called == ["ship"]


@pytest.mark.django_db(transaction=True)
def test_the_command_lists_them_and_runs_them_again(simulator: Simulator) -> None:
    def run(*words: str) -> tuple[Any, str]:
        said, code = StringIO(), 0
        try:
            call_command("mpesa_handlers", *words, stdout=said)
        except SystemExit as ended:
            code = int(ended.code or 0)  # before Python 3.11, its text is another
        return code, said.getvalue()

    fails = [True]

    @mpesa.handler("payment_completed", name="ship")
    def ship(payment: Transaction) -> None:
        if fails:
            raise ValueError

    paid = mpesa.c2b(**PAYMENT)
    OutboxEntry.objects.update(given_up_at=timezone.now())
    code, listed = run()
    assert (code, paid.third_party_reference in listed) == (1, True)
    fails.clear()
    assert run("--all") == (0, f"{listed.split()[1]}: done\n")
    assert run() == (0, "")
    with pytest.raises(CommandError):
        call_command("mpesa_handlers", "--all", "--run-again", "x")
