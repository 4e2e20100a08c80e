"""What every store does for a coroutine: a step of its work, in a thread."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from mpesa_integrations.core.payments.calls import Payments

from .backends import Backend
from .test_payments import PAYMENT

_TRACE: ContextVar[str] = ContextVar("trace", default="none")


def test_a_step_gives_what_it_gives_and_raises_what_it_raises(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    paid = payments.c2b(**PAYMENT)
    store = payments.store

    def fails() -> None:
        raise LookupError("of the step")

    async def steps() -> Any:
        with pytest.raises(LookupError, match="of the step"):
            await store.in_thread(fails)
        return await store.in_thread(lambda: store.find(paid.third_party_reference))

    assert backend.run(steps()).pk == paid.pk


def test_a_step_holds_up_no_other_task_and_has_the_context_of_its_own(
    payments: Payments[Any, Any], backend: Backend
) -> None:
    released = threading.Event()
    seen: list[str] = []

    def waits() -> bool:
        seen.append(_TRACE.get())
        return released.wait(10)

    async def steps() -> bool:
        _TRACE.set("of the task")
        step = asyncio.ensure_future(payments.store.in_thread(waits))
        while not seen:
            await asyncio.sleep(0)
        released.set()
        return await step

    assert backend.run(steps())
    assert seen == ["of the task"]
