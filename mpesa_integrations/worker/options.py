"""How much a worker does at a time, and how long it waits; checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.payments.limits import check_counts, check_rate, check_seconds

_AN_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What a person may choose of a worker.

    Attributes:
        concurrency: prompts on customers' phones at a time, for each account.
        batch: records in memory at a time, of each account and job.
        rate: calls to the gateway that begin in a second at the most, for each account, payments
            and questions; None: no limit.
        poll: seconds between two looks at the most, where nothing rings.
        stop_within: seconds for what is under way, once it is to stop.
        health_file: where it says how it is; None means nowhere.

    Raises:
        ValidationError: a number is out of bounds.
    """

    concurrency: int = 50
    batch: int = 100
    rate: float | None = None
    poll: float = 1.0
    stop_within: float = 30.0
    health_file: Path | None = None

    def __post_init__(self) -> None:
        check_counts(concurrency=self.concurrency, batch=self.batch)
        check_rate(self.rate)
        check_seconds("poll", self.poll, least=0.05, most=_AN_HOUR)
        check_seconds("stop_within", self.stop_within, most=_AN_HOUR)
