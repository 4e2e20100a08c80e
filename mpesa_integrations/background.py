"""Puts work on Celery's queue, for sites that have set Celery up; the tasks are in `tasks`.

Nothing depends on the broker: what is to be done is in the stored rows, and a task only says when.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping

from .core.settings.account import AccountSettings
from .core.settings.account_checks import SettingsMessage

logger: logging.Logger = logging.getLogger("mpesa_integrations")

_FALLBACK = "default"
"""The name of the app that Celery makes up where the site has none."""


def celery_is_set_up() -> bool:
    """Whether this process has a Celery app of the site's, or a broker's URL for Celery's own."""
    if importlib.util.find_spec("celery") is None:
        return False
    from celery import current_app

    return current_app.main != _FALLBACK or "CELERY_BROKER_URL" in os.environ


def check_task_queue(accounts: Mapping[str, AccountSettings]) -> Iterator[SettingsMessage]:
    """Say which accounts' payments are to be Celery's tasks, where this process has no Celery app.

    Args:
        accounts: the settings by the accounts' names.
    """
    for alias, settings in accounts.items():
        if settings.send == "task" and not celery_is_set_up():
            yield SettingsMessage(
                14,
                f'The SEND of the M-Pesa account {alias!r} is "task", and no Celery app is set up '
                "in this process.",
                "Import your Celery app wherever the site is loaded, so that it is the current one "
                'there; or set SEND to "worker", and run a worker.',
                serious=False,
            )


def enqueue(tasks: str, name: str, *arguments: str) -> None:
    """Put a task on Celery's queue, where the site has set Celery up.

    A broker that is down loses nothing, and is not waited for: a worker looks at the rows.

    Args:
        tasks: the module of a framework's tasks, which needs Celery to be imported.
        name: of one of them.
        arguments: the task's.
    """
    if not celery_is_set_up():
        return
    try:
        task = getattr(importlib.import_module(tasks), name)
        if task.app.conf.task_always_eager:
            task.apply_async(args=arguments)  # here and now, and without a broker
            return
        with task.app.producer_or_acquire() as producer:
            # Else Celery sleeps for six seconds in all, and the gateway waits for its answer.
            producer.connection.ensure_connection(max_retries=1, interval_start=0)
            task.apply_async(args=arguments, retry=False, producer=producer)
    except Exception as error:  # noqa: BLE001 - whatever the site's Celery or its broker raises
        logger.warning("task.not_sent task=%s problem=%s", name, type(error).__name__)


def enqueue_sending(tasks: str, alias: str, third_party_reference: str) -> None:
    """Put the task that sends a queued payment on Celery's queue, or say in the log why not.

    Args:
        tasks: the module of a framework's tasks.
        alias: the payment's account.
        third_party_reference: the payment's.
    """
    if not celery_is_set_up():
        logger.error(
            'task.not_sent task=send_queued third_party_reference=%s: SEND is "task", and '
            "no Celery app is set up in this process",
            third_party_reference,
        )
    enqueue(tasks, "send_queued", alias, third_party_reference)
