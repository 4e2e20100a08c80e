"""The choice of a scenario for a request: what a test has queued, or a test number.

The table of scenarios is in `scenarios`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from .scenarios import SCENARIOS, SUCCESS, Scenario, find_scenario

_BY_MSISDN = {row.msisdn: row for row in SCENARIOS.values() if row.msisdn}
_BY_AMOUNT = {row.amount: row for row in SCENARIOS.values() if row.amount}


@dataclass(slots=True)
class _Queued:
    scenario: Scenario
    wanted: Mapping[str, str]
    left: int = field(default=1)


class Scenarios:
    """The choice of a scenario: first what a test has queued, then the test numbers.

    Attributes:
        default_delay: seconds for what waits and is queued without a delay, or met by a test
            number; None means as long as the table says.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Queued] = []
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
        if times < 1:
            raise ValueError(f"times must be 1 or more, not {times}")
        if delay is not None and not 0 <= delay <= 600:
            raise ValueError(f"delay must be from 0 to 600 seconds, not {delay}")
        wanted = {
            "operation": operation,
            "msisdn": msisdn,
            "third_party_reference": third_party_reference,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        with self._lock:
            self._queue.append(_Queued(self._delayed(scenario, delay), given, times))

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
            for queued in self._queue:
                if all(request[key] == value for key, value in queued.wanted.items()):
                    queued.left -= 1
                    if not queued.left:
                        self._queue.remove(queued)
                    return queued.scenario
        row = _BY_MSISDN.get(msisdn or "") or _BY_AMOUNT.get(amount or Decimal(0)) or SUCCESS
        return self._delayed(row, None)

    def _delayed(self, scenario: Scenario, delay: float | None) -> Scenario:
        seconds = self.default_delay if delay is None else delay
        return scenario if seconds is None else replace(scenario, delay=seconds)
