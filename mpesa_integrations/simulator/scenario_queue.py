"""The choice of a scenario for a request: what a test has queued, or a test number.

The table of scenarios is in `scenarios`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from .scenarios import SCENARIOS, SUCCESS, Scenario, find_scenario

_BY_MSISDN = {row.msisdn: row for row in SCENARIOS.values() if row.msisdn}
_BY_AMOUNT = {row.amount: row for row in SCENARIOS.values() if row.amount}


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """A scenario that is to happen to coming requests.

    Attributes:
        number: tells it from others in the queue.
        wanted: which requests are meant, by `operation`, `msisdn` and `third_party_reference`.
        left: how many requests are still to meet it.
    """

    number: int
    scenario: Scenario
    wanted: Mapping[str, str]
    left: int


class Scenarios:
    """The choice of a scenario: first what a test has queued, then the test numbers.

    Attributes:
        default_delay: seconds for what waits and is queued without a delay, or met by a test
            number; None means as long as the table says.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._queue: list[Queued] = []
        self.default_delay: float | None = None

    def queue(
        self,
        name: str,
        *,
        operation: str | None = None,
        msisdn: str | None = None,
        third_party_reference: str | None = None,
        times: int = 1,
        delay: float | None = None,
    ) -> None:
        """Make the next matching requests meet a scenario.

        Args:
            name: a name of the table, or `code:INS-…` to answer that code with no money moved.
            operation: only for this operation, as `c2b`; None for any, queries too.
            msisdn: only for this number, in the gateway's form.
            third_party_reference: only for this reference.
            times: for how many requests.
            delay: seconds, for scenarios with a delay.

        Raises:
            ValueError: there is no such scenario, or a number is out of range.
        """
        scenario = find_scenario(name)
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be a whole number from 1, not {times!r}")
        if delay is not None and not 0 <= delay <= 600:
            raise ValueError(f"delay must be from 0 to 600 seconds, not {delay}")
        wanted = {
            "operation": operation,
            "msisdn": msisdn,
            "third_party_reference": third_party_reference,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        with self._lock:
            self._queue.append(
                Queued(
                    number=next(self._numbers),
                    scenario=self._delayed(scenario, delay),
                    wanted=given,
                    left=times,
                )
            )

    @property
    def queued(self) -> list[Queued]:
        """What no request has met yet, the next first."""
        with self._lock:
            return list(self._queue)

    def drop(self, number: int) -> None:
        """Drop one that is queued, unless it was used up just before."""
        with self._lock:
            self._queue = [queued for queued in self._queue if queued.number != number]

    def clear(self) -> None:
        """Drop everything that is queued."""
        with self._lock:
            self._queue.clear()

    def choose(
        self,
        *,
        operation: str,
        msisdn: str | None,
        amount: Decimal | None,
        third_party_reference: str | None,
    ) -> Scenario:
        """The scenario for a request, used up if it was queued."""
        request = {
            "operation": operation,
            "msisdn": msisdn,
            "third_party_reference": third_party_reference,
        }
        with self._lock:
            for index, queued in enumerate(self._queue):
                if all(request[key] == value for key, value in queued.wanted.items()):
                    used = replace(queued, left=queued.left - 1)
                    self._queue[index : index + 1] = [used] if used.left else []
                    return queued.scenario
        row = _BY_MSISDN.get(msisdn or "") or _BY_AMOUNT.get(amount or Decimal(0)) or SUCCESS
        return self._delayed(row, None)

    def _delayed(self, scenario: Scenario, delay: float | None) -> Scenario:
        seconds = self.default_delay if delay is None else delay
        return scenario if seconds is None else replace(scenario, delay=seconds)
