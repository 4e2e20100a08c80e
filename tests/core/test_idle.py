"""Who waits for longer than a moment gives the connection back first."""

from __future__ import annotations

import pytest

from mpesa_integrations.core.payments.idle import wait_disconnected


class Wait:
    """Notes what was asked of it; what is waited for comes at the given turn, or never."""

    def __init__(self, comes_at: int | None = None) -> None:
        self.steps: list[float | str | None] = []
        self._comes_at = comes_at

    def __call__(self, seconds: float | None) -> bool:
        self.steps.append(seconds)
        return len(self.steps) == self._comes_at

    def disconnect(self) -> None:
        self.steps.append("disconnect")


@pytest.mark.parametrize(
    ("seconds", "comes_at", "steps"),
    [
        (5.0, None, [0.2, "disconnect", 4.8]),
        (5.0, 1, [0.2]),
        (0.2, None, [0.2]),
        (0.05, None, [0.05]),
        (None, None, [0.2, "disconnect", None]),
        (None, 1, [0.2]),
    ],
)
def test_a_connection_is_kept_for_a_moment_only(
    seconds: float | None, comes_at: int | None, steps: list[object]
) -> None:
    wait = Wait(comes_at)

    assert wait_disconnected(wait, seconds, wait.disconnect) is (comes_at is not None)

    assert wait.steps == steps


def test_what_comes_after_the_connection_was_given_back_is_given() -> None:
    wait = Wait(comes_at=3)

    assert wait_disconnected(wait, 5.0, wait.disconnect) is True
