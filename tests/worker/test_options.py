"""What a person may choose of a worker, and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from mpesa_integrations.core.errors import ValidationError
from mpesa_integrations.worker.options import WorkerOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0), ("concurrency", -1), ("concurrency", 1.5), ("concurrency", 10_001),
        ("batch", 0), ("rate", 0), ("rate", -1.0), ("rate", float("nan")),
        ("poll", 0), ("poll", -1), ("poll", float("nan")), ("poll", 4000), ("poll", True),
        ("stop_within", -1), ("stop_within", float("inf")),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        WorkerOptions(**{name: value})
    assert list(caught.value.errors) == [name]
    assert "must be" in str(caught.value)


def test_the_rest_is_taken() -> None:
    WorkerOptions()
    WorkerOptions(concurrency=1, batch=10_000, rate=0.5, poll=0.05, stop_within=0)
    with pytest.raises(ValidationError, match=r"poll: must be seconds, from 0\.05 to 3600"):
        WorkerOptions(poll=0.01)
