"""What the gateway does to each request of a fire run, by the run's seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace
from decimal import Decimal

from mpesa_integrations.simulator import SCENARIOS, Scenario
from mpesa_integrations.simulator.scenario_queue import Scenarios

# How often each of them happens; what is left goes well.
FAULTS = {
    "cut_before": 0.02,
    "cut_after": 0.03,
    "internal_error": 0.01,
    "internal_error_but_paid": 0.02,
    "html": 0.01,
    "empty_body": 0.01,
    "truncated_json": 0.01,
    "wrong_reference": 0.01,
    "pin_timeout": 0.01,
    "timeout_but_paid": 0.02,
    "overloaded": 0.02,
    "overloaded_unawares": 0.01,
    "slow": 0.02,
    "insufficient_balance": 0.03,
    "cancelled": 0.02,
    "callback_before_answer": 0.06,
    "callback_twice": 0.05,
    "callback_delayed": 0.04,
    "callback_never": 0.05,
    "front_403": 0.01,
    "front_504_then_paid": 0.02,
    "front_504_then_cancelled": 0.01,
    "output_error": 0.01,
    "output_error_but_paid": 0.01,
    "declined_with_408": 0.01,
}
QUERY_FAULT, QUERY_CUT = "status query cut", 0.05
DELAY = 0.3  # seconds, of what comes late


class PlannedScenarios(Scenarios):
    """Chooses by the seed and by what a payment is of: the same for each of its attempts.

    Attributes:
        met: how many requests met each fault.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._queries = random.Random(f"{seed}/queries")
        self._guard = threading.Lock()
        self.met: Counter[str] = Counter()

    def choose(
        self,
        *,
        operation: str,
        msisdn: str | None,
        amount: Decimal | None,
        third_party_reference: str | None,
    ) -> Scenario:
        """The scenario of a request."""
        if operation.startswith("query"):
            with self._guard:
                cut = self._queries.random() < QUERY_CUT
                self.met[QUERY_FAULT] += cut
            return SCENARIOS["cut_before" if cut else "success"]
        point = random.Random(f"{self._seed}/fault/{operation}/{msisdn}/{amount}").random()
        for name, rate in FAULTS.items():
            point -= rate
            if point < 0:
                with self._guard:
                    self.met[name] += 1
                return replace(SCENARIOS[name], delay=DELAY)
        return SCENARIOS["success"]
