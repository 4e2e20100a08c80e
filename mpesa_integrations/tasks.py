"""Celery tasks over a framework's accounts: reconcile by beat, and what requests leave to a worker.

How a request puts them on a queue is in `background`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from celery import shared_task

from .core.payments.left_to_do import left_to_do
from .core.payments.limits import check_counts
from .core.payments.registry import Accounts

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_MOST_BATCHES = 8
"""Batches of one account that are worked on at a time, each as a task of its own."""


class Tasks(NamedTuple):
    """The tasks of one framework.

    Attributes:
        reconcile: for beat; starts the others.
        reconcile_account: one account's due payments, a batch a task.
        apply_callbacks: decides an account's stored callbacks.
        send_queued: sends one queued payment, and waits for its customer.
    """

    reconcile: Any
    reconcile_account: Any
    apply_callbacks: Any
    send_queued: Any


def make_tasks(prefix: str, accounts: Callable[[], Accounts[Any, Any]]) -> Tasks:
    """Make the tasks, to be bound to module names.

    Args:
        prefix: the framework's package, before the tasks' names.
        accounts: gives the accounts; called inside a task.
    """
    options = {"ignore_result": True, "acks_late": True}

    @shared_task(  # type: ignore[untyped-decorator]
        name=f"{prefix}.reconcile", **options
    )
    def reconcile(batch: int = 100, parallel: int = 1) -> None:
        check_counts(batch=batch, parallel=parallel)
        left = left_to_do(accounts())
        for alias in left.missing:
            logger.warning("reconcile.account_missing account=%s: %s", alias, left.problem(alias))
        for alias in left.accounts:
            for _ in range(min(parallel, _MOST_BATCHES)):
                reconcile_account.delay(alias, batch)

    @shared_task(  # type: ignore[untyped-decorator]
        name=f"{prefix}.reconcile_account", **options
    )
    def reconcile_account(alias: str, batch: int = 100) -> None:
        done = accounts()[alias].reconciler(batch=batch).run_batch()
        if done.may_be_more(batch):
            reconcile_account.delay(alias, batch)

    @shared_task(  # type: ignore[untyped-decorator]
        name=f"{prefix}.apply_callbacks", **options
    )
    def apply_callbacks(alias: str) -> None:
        while accounts()[alias].apply_callbacks(100) == 100:
            pass

    @shared_task(  # type: ignore[untyped-decorator]
        name=f"{prefix}.send_queued", **options
    )
    def send_queued(alias: str, third_party_reference: str) -> None:
        accounts()[alias].send_queued(third_party_reference)

    return Tasks(reconcile, reconcile_account, apply_callbacks, send_queued)
