"""Where a payment stands, as its customer may know it by a link: once, or as events as it changes.

No ID, no phone number and no other text than the customer's own is told. Views of the frameworks
only translate; what tokens are is in `status_tokens`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from ..errors import RecordsUnavailable
from .customer_messages import customer_message
from .lifecycle import OPEN_STATES, State
from .orders import may_retry
from .records import Record
from .registry import Accounts
from .status_tokens import ExpiredStatusToken, InvalidStatusToken
from .store import Store, find_exactly
from .waiting import pauses

logger: logging.Logger = logging.getLogger("mpesa_integrations")

HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
"""Of each answer, and of the events."""
STREAM_LENGTH = 60.0
"""Seconds after which events end; a browser asks for them again by itself."""
_HEARTBEAT = 15.0
"""Seconds without news after which a comment is sent, so that no proxy takes the line for dead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusAnswer:
    """An HTTP answer.

    Attributes:
        status: its code.
        content: its text.
        content_type: with the charset.
    """

    status: int
    content: str
    content_type: str = "text/plain; charset=utf-8"


def public_status(record: Record, language: str | None) -> dict[str, object]:
    """What a payment's customer may know of it.

    Args:
        record: the payment.
        language: of the message, as for `customer_message`.
    """
    state = State(record.state)
    return {
        "state": state.value,
        "is_open": state in OPEN_STATES,
        "is_paid": state is State.COMPLETED,
        "may_retry": may_retry(record),
        "message": customer_message(record).in_language(language),
    }


def answer_status(accounts: Accounts[Any, Any], token: str, language: str | None) -> StatusAnswer:
    """Answer a request for a payment's status, by one query.

    A payment that no worker has sent in time fails by this, as by a worker.

    Args:
        accounts: the site's.
        token: as a stranger may have written it.
        language: of the message.

    Returns:
        200 with JSON; 404 for a token that is not this site's or whose payment is gone, 410 for
        one that is too old, 503 where the database is away, each with a short text.
    """
    try:
        store, reference = _followed(accounts, token)
        found = _read(accounts, store, reference, language)
    except ExpiredStatusToken:
        return StatusAnswer(status=410, content="This link is too old.\n")
    except InvalidStatusToken:
        return StatusAnswer(status=404, content="There is nothing here.\n")
    except RecordsUnavailable as error:
        logger.warning("records.unavailable problem=%s", error)
        return StatusAnswer(status=503, content="Please ask again in a moment.\n")
    return StatusAnswer(status=200, content=_as_json(found), content_type="application/json")


async def status_events(
    accounts: Accounts[Any, Any], token: str, language: str | None
) -> AsyncIterator[str]:
    """Tell a payment's status, and again each time that it has changed, as server-sent events.

    It ends when the payment is decided, or after `STREAM_LENGTH`. Between two looks at the record
    nothing is held. Arguments as for `answer_status`, which has answered 200 before.
    """
    store, reference = await accounts.in_thread(lambda: _followed(accounts, token))
    told: dict[str, object] | None = None
    quiet = 0.0
    for pause in pauses(STREAM_LENGTH):
        try:
            now = await store.in_thread(lambda: _look(accounts, store, reference, language))
        except InvalidStatusToken:
            return
        if now is not None and now != told:
            yield f"data: {_as_json(now)}\n\n"
            told, quiet = now, 0.0
            if not now["is_open"]:
                return
        elif quiet >= _HEARTBEAT:
            yield ":\n\n"
            quiet = 0.0
        await asyncio.sleep(pause)
        quiet += pause


def _followed(accounts: Accounts[Any, Any], token: str) -> tuple[Store[Any, Any], str]:
    alias, reference = accounts.status_tokens.read(token)
    store = accounts.records(alias) if accounts.loader is not None else None
    if store is not None:
        return store, reference  # it takes no settings, and the account may be no more
    if alias not in accounts:
        raise InvalidStatusToken
    return accounts[alias].store, reference


def _look(
    accounts: Accounts[Any, Any], store: Store[Any, Any], reference: str, language: str | None
) -> dict[str, object] | None:
    """Read it and hold no connection; None where the database is away for now."""
    try:
        return _read(accounts, store, reference, language)
    except RecordsUnavailable as error:
        logger.warning("records.unavailable problem=%s", error)
        return None
    finally:
        store.disconnect()


def _read(
    accounts: Accounts[Any, Any], store: Store[Any, Any], reference: str, language: str | None
) -> dict[str, object]:
    record = store.isolated(lambda: find_exactly(store, reference), writes=False)
    if record is None:
        raise InvalidStatusToken
    return public_status(accounts.expire_overdue(record), language)


def _as_json(found: dict[str, object]) -> str:
    return json.dumps(found, ensure_ascii=False)
