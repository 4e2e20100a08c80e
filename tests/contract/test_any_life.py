"""Whatever happens to payments, in whatever order: the invariants of docs/design.md hold.

Hypothesis makes up lives of orders: calls that end in every way that does not lie, callbacks that
come late, twice, forged or never, status queries, reversals and decisions. Over a database payments
are queued, too: workers send them, die or stand still on the way, or come too late. After each step
the records are compared with the gateway's ledger. Scenarios that lie have tests of their own.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations import ValidationError
from mpesa_integrations.core.errors import GatewayUnavailable, MpesaError
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.lifecycle import MONEY_MOVED_STATES, OPEN_STATES, State
from mpesa_integrations.core.payments.orders import CLAIMING_STATES
from mpesa_integrations.core.payments.queue_sender import QueueSender
from mpesa_integrations.core.payments.status_queries import seconds_under_way
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse, Transport
from mpesa_integrations.core.settings.account import AccountSettings, Send
from mpesa_integrations.simulator.in_process import InProcessGateway, in_process_gateway
from tests.support.account import TOKEN

from .backends import DjangoBackend, SqlAlchemyBackend
from .conftest import Heard

PHONES = ["84 123 4567", "85 765 4321"]
ORDERS = ["ORDER-1", "ORDER-2"]
ENDINGS = [
    "success", "insufficient_balance", "cancelled", "pin_timeout", "timeout_but_paid", "overloaded",
    "internal_error", "internal_error_but_paid", "html", "empty_body", "truncated_json",
    "unknown_code", "cut_before", "cut_after", "huge_answer", "redirect", "wrong_reference",
]  # fmt: skip
_GIVING_BACK = {
    State.COMPLETED: {State.PARTLY_REVERSED, State.REVERSED},
    State.PARTLY_REVERSED: {State.REVERSED},
}
MOSTLY = st.sampled_from([True, True, False])
IS_SHARED = precondition(lambda self: self.payments.store.is_shared)
_aliases = (f"life-{number}" for number in itertools.count())


class Counting:
    """A transport that counts how often what moves money was sent, by its reference."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.sent: Counter[str] = Counter()

    def send(self, request: HttpRequest) -> HttpResponse:
        if request.body is not None:
            self.sent[json.loads(request.body)["input_ThirdPartyReference"]] += 1
        return self._transport.send(request)

    def close(self) -> None:
        self._transport.close()


class Life(RuleBasedStateMachine):
    """Two orders of one account, over a store that a subclass names."""

    make_store: Callable[[str], Any]
    backend: DjangoBackend | SqlAlchemyBackend
    """Where the records are in a database."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = ExitStack()
        self.heard = Heard()
        self.known: dict[str, State] = {}
        self.bodies: list[dict[str, str]] = []
        self.late: set[str] = set()
        self.frozen: list[tuple[QueueSender[Any, Any], Any]] = []

    @initialize(asynchronous=st.booleans())
    def begin(self, asynchronous: bool) -> None:
        self.gateway: InProcessGateway = self.ended.enter_context(
            in_process_gateway(asynchronous=asynchronous)
        )
        config = replace(self.gateway.config, callback_token=TOKEN, retries=0)
        self.transport = Counting(self.gateway.transport)
        account = AccountSettings(config=config, transport=self.transport)
        alias = next(_aliases)
        self.payments: Payments[Any, Any] = Payments(
            alias, account, type(self).make_store(alias), self.heard
        )

        if self.payments.store.is_shared:
            # Hypothesis leaves some rules out of each life: there is to be something for a worker.
            self.pay(ORDERS[0], PHONES[0], "success", "150.00", again=False, queued=True)

    def teardown(self) -> None:
        self.ended.close()

    @property
    def records(self) -> list[Any]:
        found = [r for o in ORDERS for r in self.payments.attempts(o)]
        store = self.payments.store
        reversals = [store.find(reference) for reference in self.reversals]
        return found + [record for record in reversals if record is not None]

    reversals: tuple[str, ...] = ()

    @rule(
        order=st.sampled_from(ORDERS), phone=st.sampled_from(PHONES),
        ending=st.sampled_from(ENDINGS), amount=st.sampled_from(["150.00", "0.30"]),
        again=st.booleans(), queued=MOSTLY,
    )  # fmt: skip
    def pay(
        self, order: str, phone: str, ending: str, amount: str, again: bool, queued: bool
    ) -> None:
        self.gateway.outcome(ending, operation="c2b")
        standing = [
            a.pk for a in self.payments.attempts(order)
            if a.state in CLAIMING_STATES and not self._is_overdue(a)
        ]  # fmt: skip
        before = len(self.payments.attempts(order))
        try:
            given = self.payments.c2b(
                order=order, msisdn=phone, amount=amount, again=again, reference="R",
                send=self._sent_by(queued),
            )  # fmt: skip
        except ValidationError:  # of the amount, that of which alone may be wrong
            assert standing, "another amount is refused only while one is open or paid"
        else:
            assert not standing or [given.pk] == standing
        sent = len(self.payments.attempts(order)) - before
        assert sent in ((0,) if standing else (0, 1))
        self._forget_endings()

    @rule(
        number=st.integers(0, 9), ending=st.sampled_from(ENDINGS),
        amount=st.sampled_from([None, "0.10", "150.00"]), queued=MOSTLY,
    )  # fmt: skip
    def give_back(self, number: int, ending: str, amount: str | None, queued: bool) -> None:
        attempts = [a for order in ORDERS for a in self.payments.attempts(order)]
        if not attempts:
            return
        self.gateway.outcome(ending, operation="reversal")
        with suppress(ValidationError):  # not paid, or more than is left
            reversal = self.payments.reverse(
                attempts[number % len(attempts)], amount, send=self._sent_by(queued)
            )
            self.reversals = (*self.reversals, reversal.third_party_reference)
        self._forget_endings()

    @IS_SHARED
    @rule(
        ending=st.sampled_from(ENDINGS),
        how=st.sampled_from(["works", "works", "dies unsent", "dies sent", "freezes"]),
    )
    def a_worker_claims(self, ending: str, how: str) -> None:
        if how == "works":
            self._work(ending)
            return
        for record, _ in self.payments._queue.claim(1).take():
            if how == "freezes":
                self.frozen.append((self.payments.queue_sender(1), record))
            elif how == "dies sent":
                self.gateway.outcome(ending)
                request = self.payments._sender.request_of(record)
                with suppress(MpesaError):
                    self.payments.client.send(request)
                self._forget_endings()

    @precondition(lambda self: self.frozen)
    @rule()
    def a_frozen_worker_goes_on(self) -> None:
        """It sends what is queued by then, but nothing on the strength of its old claim."""
        sender, record = self.frozen.pop()
        before = Counter(self.transport.sent)
        assert sender._send(record, lambda: 0.0) is None
        sender._stop.set()
        sender.finish(30)
        assert self.transport.sent == before

    @IS_SHARED
    @rule(number=st.integers(0, 9))
    def a_customer_takes_it_back(self, number: int) -> None:
        records = self.records
        if not records:
            return
        record = records[number % len(records)]
        withdrawn = self.payments.withdraw(record)
        was_queued = record.state == State.QUEUED
        assert withdrawn.state == (State.CANCELLED if was_queued else record.state)

    @IS_SHARED
    @rule(too_late=st.booleans())
    def time_passes_and_a_worker_reconciles(self, too_late: bool) -> None:
        self.backend.make_due()
        if too_late:
            past = datetime.now(timezone.utc) - timedelta(seconds=1)
            self.late |= {r.third_party_reference for r in self.records if r.state == State.QUEUED}
            self.backend.set_all(send_before=past)
        self.payments.reconcile()
        overdue = [r for r in self.records if r.state == State.QUEUED]
        assert not overdue or not too_late, "what nobody sent in time has failed"

    @rule(times=st.integers(0, 2))
    def results_come(self, times: int) -> None:
        """Each never, once or twice; what was lost is asked for."""

        def post(body: Any) -> None:
            self.bodies.append(dict(body))
            for _ in range(times):
                assert self.payments.receive(json.dumps(body).encode())[0] == 200

        self.gateway.deliver(post)

    @precondition(lambda self: self.bodies)
    @rule(number=st.integers(0, 9), forged=st.booleans(), code=st.sampled_from(["INS-0", "INS-6"]))
    def a_result_comes_again(self, number: int, forged: bool, code: str) -> None:
        body = dict(self.bodies[number % len(self.bodies)])
        meant: Any = self.payments.store.find(body["input_ThirdPartyReference"])
        if forged and not meant.conversation_id:
            return  # nothing shows that it is: it is for a person
        if forged:
            body |= {"input_OriginalConversationID": "AG_forged", "input_ResultCode": code}
        before = self._snapshot()
        assert self.payments.receive(json.dumps(body).encode())[0] == 200
        if forged:
            assert self._snapshot() == before

    @rule()
    def all_are_asked_for(self) -> None:
        for record in self.records:
            if State(record.state) in OPEN_STATES:
                with suppress(GatewayUnavailable):
                    self.payments.check(record)

    @rule(number=st.integers(0, 9))
    def a_person_reads_the_statement(self, number: int) -> None:
        open_ = [record for record in self.records if State(record.state) in OPEN_STATES]
        if not open_:
            return
        record = open_[number % len(open_)]
        booked = self.gateway.ledger.find(record.third_party_reference)
        if booked is not None and booked.status == "Pending":
            return  # the statement does not say yet
        state = State.COMPLETED if booked and booked.status == "Completed" else State.FAILED
        if state is State.FAILED and seconds_under_way(self.payments.store, record):
            return  # it is refused: the customer may be typing the PIN
        self.payments.resolve(record, state, by="Ana", note="on the statement")

    @invariant()
    def an_order_is_paid_once(self) -> None:
        for order in ORDERS if hasattr(self, "payments") else []:
            attempts = self.payments.attempts(order)
            assert len([a for a in attempts if a.state in CLAIMING_STATES]) <= 1
            kept = [a for a in attempts if self._money_kept(a)]
            assert len(kept) <= 1, "at most one payment's money is with the shop"

    @invariant()
    def the_records_are_the_ledgers(self) -> None:
        if not hasattr(self, "payments"):
            return
        records = {record.third_party_reference: record for record in self.records}
        booked = {t.third_party_reference: t for t in self.gateway.ledger.transactions()}
        assert set(booked) <= set(records), "what was sent is on record"
        for reference, record in records.items():
            state = State(record.state)
            assert self.transport.sent[reference] <= 1, f"{reference} was sent again"
            assert state is not State.QUEUED or not self.transport.sent[reference]
            moved = reference in booked and booked[reference].status == "Completed"
            if state not in OPEN_STATES:
                assert moved == (state in MONEY_MOVED_STATES), f"{reference} is {state}"
            if record.operation == "c2b":
                under_way = [
                    r.amount for r in records.values()
                    if r.original_id == record.pk and State(r.state) in OPEN_STATES
                ]  # fmt: skip
                assert record.reversal_pending == sum(under_way)
                settled = booked[reference].reversed_amount if reference in booked else 0
                assert record.reversed_amount <= settled <= record.reversed_amount + sum(under_way)

    @invariant()
    def final_is_final(self) -> None:
        for record in self.records if hasattr(self, "payments") else []:
            state = State(record.state)
            before = self.known.get(record.third_party_reference, state)
            if before not in OPEN_STATES:
                assert state == before or state in _GIVING_BACK.get(before, set())
            self.known[record.third_party_reference] = state
            assert not record.conflict, "nothing here lies"

    @invariant()
    def each_change_is_told_once(self) -> None:
        told = Counter(
            (record.third_party_reference, event.value) for event, record in self.heard.events
        )
        again = {key: count for key, count in told.items() if count > 1}
        # What a worker hands back is queued, and initiated, once more.
        may_come_again = ("_reversed", "_pending", "_unknown", "_queued", "_initiated")
        assert all(event.endswith(may_come_again) for _, event in again)
        for record in self.records if hasattr(self, "payments") else []:
            ended = State(record.state) not in OPEN_STATES
            ends = [
                event for event, one in self.heard.events
                if one.third_party_reference == record.third_party_reference
                and event.value.endswith(("_completed", "_failed", "_cancelled"))
            ]  # fmt: skip
            assert len(ends) == int(ended)

    def _sent_by(self, queued: bool) -> Send:
        return "worker" if queued and self.payments.store.is_shared else "now"

    def _is_overdue(self, record: Any) -> bool:
        return record.state == State.QUEUED and record.third_party_reference in self.late

    def _work(self, ending: str) -> None:
        """One round of a worker: what fits in it is sent, answered and written down."""
        self.gateway.outcome(ending)
        before = Counter(self.transport.sent)
        sender = self.payments.queue_sender(2)
        sender.run_once()
        sender._stop.set()
        sender.finish(30)
        assert not set(self.transport.sent - before) & self.late, "nothing is sent late"
        self._forget_endings()

    def _money_kept(self, record: Any) -> bool:
        booked = self.gateway.ledger.find(record.third_party_reference)
        if booked is None or booked.status != "Completed":
            return False
        return booked.amount - booked.reversed_amount > Decimal(0)

    def _snapshot(self) -> list[Any]:
        return [(r.pk, r.state, r.reversed_amount, r.transaction_id) for r in self.records]

    def _forget_endings(self) -> None:
        """What no call met, since none was sent, is not for the next."""
        self.gateway._gateway.scenarios.clear()


def _live(make_store: Callable[[str], Any], *, examples: int, **more: Any) -> None:
    machine = type("Life", (Life,), {"make_store": staticmethod(make_store), **more})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.slow
def test_any_life_in_memory() -> None:
    _live(MemoryStore, examples=50)


@pytest.mark.long
def test_any_life_in_a_database(backend: DjangoBackend | SqlAlchemyBackend) -> None:
    _live(backend.store, examples=8, backend=backend)
