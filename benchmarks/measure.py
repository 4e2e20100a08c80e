"""How two things are compared, and how a result is written."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_WARM_UP = 3
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of results.

    Attributes:
        name: of the benchmark, and of its variant after a dot.
        a_ms: ours, in milliseconds.
        b_ms: the other's.
        target: what the ratio should be at the most; None where it is only told.
        more: further figures, by name.
    """

    name: str
    a_ms: float
    b_ms: float
    target: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours through the other's: below 1 ours is the faster one."""
        return self.a_ms / self.b_ms

    def as_json(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3),
            "a_ms": round(self.a_ms, 4),
            "b_ms": round(self.b_ms, 4),
            "target": self.target,
            **self.more,
        }


def compare(
    name: str,
    ours: Work,
    other: Work,
    *,
    rounds: int,
    calls: int = 1,
    target: float | None = None,
) -> Result:
    """Run both in turn, round by round, so that a busy machine slows both; medians of the rounds.

    Args:
        name: of the result.
        ours: one round of the library's.
        other: one round of what it is compared with.
        rounds: how many of each.
        calls: how many a round has; the times given are of one.
        target: what the ratio should be at the most.
    """
    for _ in range(min(_WARM_UP, rounds)):
        ours()
        other()
    a, b = [], []
    for number in range(rounds):
        # Whoever comes second finds warmer caches: they take turns at it.
        if number % 2:
            a.append(milliseconds(ours))
            b.append(milliseconds(other))
        else:
            b.append(milliseconds(other))
            a.append(milliseconds(ours))
    return Result(
        name=name,
        a_ms=statistics.median(a) / calls,
        b_ms=statistics.median(b) / calls,
        target=target,
    )


def milliseconds(work: Work) -> float:
    """How long it takes, by the clock on the wall."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)
