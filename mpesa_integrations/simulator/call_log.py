"""The journal: every call and callback, for reports and the live log.

In SQLite, so that it outlives a restart, and bounded. What is written to it is made in `journal`,
with secrets shortened. How a payment ended is not written down twice: it is read
from the ledger, beside it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from .calls import Call, CallFilter, Group, Tally

logger: logging.Logger = logging.getLogger("mpesa_integrations.simulator")

CALLS_FILE = "calls.sqlite3"
CALLS_KEPT = 10_000
"""Enough for a person to look at."""
_PRUNE_EVERY = 100

_COLUMNS = (
    "at", "kind", "operation", "code", "outcome", "http_status", "seconds", "msisdn", "amount",
    "transaction_reference", "third_party_reference", "problem", "sent", "answered",
    "conversation_id", "attempt", "attempts",
)  # fmt: skip
_SORTABLE = (
    "at", "operation", "code", "http_status", "seconds", "amount", "ended", "ended_code", "told_by",
)  # fmt: skip
_VERSION = 3
"""Of the schema. A journal of another version is begun anew: it is for a person to look at."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS call (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    operation TEXT NOT NULL,
    code TEXT NOT NULL,
    outcome TEXT NOT NULL,
    http_status INTEGER,
    seconds REAL NOT NULL,
    msisdn TEXT NOT NULL,
    amount TEXT NOT NULL,
    transaction_reference TEXT NOT NULL,
    third_party_reference TEXT NOT NULL,
    problem TEXT NOT NULL,
    sent TEXT NOT NULL,
    answered TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    attempts INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS call_at ON call (at);
CREATE INDEX IF NOT EXISTS call_conversation ON call (conversation_id);
"""
# A payment's call with what the ledger says of it, and what told the caller so. A status query
# tells how a payment ended if it was asked after that; a callback, if it was acknowledged. What a
# reversal gives back, and to whom, is the ledger's, too: its request need not name them.
_AS_WRITTEN = ", ".join(
    f"call.{column}" for column in _COLUMNS if column not in ("amount", "msisdn")
)
_ENDED = f"""
CREATE TEMP VIEW ended_call AS
WITH booked AS (
    SELECT call.id, {_AS_WRITTEN}, t.status, t.settled_at AS ended_at,
        CASE
            WHEN call.amount != '' OR t.centavos IS NULL THEN call.amount
            ELSE PRINTF('%d.%02d', t.centavos / 100, t.centavos % 100)
        END AS amount,
        CASE
            WHEN call.msisdn != '' THEN call.msisdn
            WHEN LENGTH(t.payer) = 12 THEN t.payer
            WHEN LENGTH(t.payee) = 12 THEN t.payee
            ELSE ''
        END AS msisdn,
        COALESCE(t.code, call.code) AS ended_code,
        CASE
            WHEN call.kind = 'callback' OR call.operation LIKE 'query\\_%' ESCAPE '\\'
                THEN call.outcome
            WHEN t.reversed_centavos = t.centavos THEN 'reversed'
            WHEN t.reversed_centavos > 0 THEN 'partly_reversed'
            WHEN t.status = 'Completed' THEN 'success'
            WHEN t.status IS NOT NULL THEN LOWER(t.status)
            WHEN call.outcome = 'unknown' AND call.conversation_id = '' THEN 'never_in'
            ELSE call.outcome
        END AS ended
    FROM call LEFT JOIN ledger.ledger_transaction t
        ON t.conversation_id = call.conversation_id AND call.kind = 'call'
        AND call.operation NOT LIKE 'query\\_%' ESCAPE '\\'
)
SELECT booked.*,
    CASE
        WHEN kind = 'callback' OR ended IN ('pending', 'never_in') THEN ''
        WHEN status IS NULL THEN 'answer'
        WHEN code = ended_code AND outcome NOT IN ('accepted', 'unknown') THEN 'answer'
        WHEN EXISTS (
            SELECT 1 FROM call c WHERE c.conversation_id = booked.conversation_id
            AND c.kind = 'callback' AND c.problem = '') THEN 'callback'
        WHEN EXISTS (
            SELECT 1 FROM call q WHERE q.conversation_id = booked.conversation_id
            AND q.operation = 'query_transaction_status' AND q.code = 'INS-0'
            AND q.at >= booked.ended_at) THEN 'status_query'
        WHEN EXISTS (
            SELECT 1 FROM call c WHERE c.conversation_id = booked.conversation_id
            AND c.kind = 'callback' AND c.attempt = c.attempts) THEN 'given_up'
        ELSE ''
    END AS told_by
FROM booked
"""  # noqa: S608 - of this module's names

_STANDS_ALONE = """
(kind = 'call' OR NOT EXISTS (
    SELECT 1 FROM call paid WHERE paid.conversation_id = ended_call.conversation_id
    AND paid.kind = 'call' AND paid.operation NOT LIKE 'query\\_%' ESCAPE '\\'))
"""
_TEXTS = " || ' ' || ".join(
    ("sent", "answered", "conversation_id", "operation", "msisdn", "amount")
)
_FOUND = f"""
(({_TEXTS} LIKE ? ESCAPE '\\' OR {_TEXTS} LIKE ? ESCAPE '\\')
OR (kind = 'call' AND conversation_id != '' AND conversation_id IN (
    SELECT conversation_id FROM call WHERE kind = 'callback'
    AND ({_TEXTS} LIKE ? ESCAPE '\\' OR {_TEXTS} LIKE ? ESCAPE '\\'))))
"""  # noqa: S608 - of this module's texts


class CallLog:
    """The journal in a file; safe to be used from many threads.

    Args:
        path: its file.
        ledger: the ledger's file, which is there already.

    Attributes:
        kept: how many calls and callbacks are kept; the oldest go first.
        era: how often it was emptied.
    """

    def __init__(self, path: Path, ledger: Path) -> None:
        self.kept = CALLS_KEPT
        self.era: int = 0
        self._lock = threading.Lock()
        self._written = 0
        self._db = sqlite3.connect(
            path.absolute().as_uri(), uri=True, check_same_thread=False, isolation_level=None
        )
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        # A journal for a person to look at: losing its end in a power cut is no harm.
        self._db.execute("PRAGMA synchronous=OFF")
        if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            self._db.execute("DROP TABLE IF EXISTS call")
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        self._db.executescript(_SCHEMA)
        self._db.execute("ATTACH DATABASE ? AS ledger", (f"{ledger.absolute().as_uri()}?mode=ro",))
        self._db.execute(_ENDED)

    def close(self) -> None:
        """Close the database; what is recorded after that is dropped."""
        with self._lock:
            self._db.close()

    def record(self, call: Call, *, era: int | None = None) -> None:
        """Keep a call, and drop the oldest beyond `kept`.

        Args:
            era: the one that it began in; it is dropped if that is over. None: the present one.
        """
        values = [getattr(call, column) for column in _COLUMNS]
        values[0] = call.at.isoformat()
        values[_COLUMNS.index("amount")] = "" if call.amount is None else f"{call.amount:.2f}"
        values = [_storable(value) for value in values]
        marks = ", ".join("?" * len(_COLUMNS))
        with self._lock:
            if era not in (None, self.era):
                return
            try:
                self._db.execute(
                    f"INSERT INTO call ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608
                    values,
                )
                self._written += 1
                if self._written % _PRUNE_EVERY == 0:
                    self._db.execute(
                        "DELETE FROM call WHERE id <= (SELECT MAX(id) FROM call) - ?", (self.kept,)
                    )
            except sqlite3.ProgrammingError:
                return  # closed: the gateway is stopping
            except sqlite3.Error as error:
                # Such as a full disk: no reason to fail a payment, or a callback.
                logger.warning("calls.not_recorded problem=%s", error)

    def select(
        self,
        wanted: CallFilter,
        *,
        sort: str = "at",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Call]:
        """Find calls.

        Args:
            wanted: which.
            sort: a column; another name sorts by time.
            descending: greatest, or latest, first.
            limit: how many at the most; None: all that are kept.
            offset: how many to pass over.
        """
        column = sort if sort in _SORTABLE else "at"
        column = "CAST(amount AS REAL)" if column == "amount" else column
        direction = "DESC" if descending else "ASC"
        where, values = _where(wanted)
        rows = self._rows(
            f"SELECT * FROM ended_call WHERE {where}"  # noqa: S608
            f" ORDER BY {column} {direction}, id {direction} LIMIT ? OFFSET ?",
            [*values, self.kept if limit is None else limit, offset],
        )
        return [_call(row) for row in rows]

    def groups(self, wanted: CallFilter, *, limit: int) -> list[Group]:
        """Find calls, the latest first, each with the callbacks of its payment.

        Args:
            wanted: which calls; a callback that has no call stands alone.
            limit: how many at the most.
        """
        where, values = _where(wanted)
        rows = self._rows(
            f"SELECT * FROM ended_call WHERE {where} AND {_STANDS_ALONE}"  # noqa: S608
            " ORDER BY at DESC, id DESC LIMIT ?",
            [*values, limit],
        )
        calls = [_call(row) for row in rows]
        callbacks = self._callbacks_of([call.conversation_id for call in calls if _pays(call)])
        return [
            Group(call, callbacks.get(call.conversation_id, [])) if _pays(call) else Group(call, [])
            for call in calls
        ]

    def _callbacks_of(self, conversations: list[str]) -> dict[str, list[Call]]:
        marks = ", ".join("?" * len(conversations))
        rows = self._rows(
            "SELECT * FROM ended_call WHERE kind = 'callback'"  # noqa: S608
            f" AND conversation_id IN ({marks}) ORDER BY id",
            conversations,
        )
        found: dict[str, list[Call]] = {}
        for row in rows:
            found.setdefault(row["conversation_id"], []).append(_call(row))
        return found

    def find(self, number: int) -> Call | None:
        """Find a call by its ID."""
        try:
            rows = self._rows("SELECT * FROM ended_call WHERE id = ?", [number])
        except OverflowError:  # more than any ID is
            return None
        return _call(rows[0]) if rows else None

    def count(self, wanted: CallFilter) -> int:
        """How many calls there are."""
        where, values = _where(wanted)
        (row,) = self._rows(f"SELECT COUNT(*) FROM ended_call WHERE {where}", values)  # noqa: S608
        return int(row[0])

    def tally(self, wanted: CallFilter) -> list[Tally]:
        """When calls were made and what became of them, without the texts: for counting."""
        where, values = _where(wanted)
        rows = self._rows(
            "SELECT at, operation, ended_code, code, ended, amount FROM ended_call"  # noqa: S608
            f" WHERE {where}",
            values,
        )
        return [
            Tally(
                at=_time(row["at"]),
                operation=row["operation"],
                code=row["ended_code"],
                answered_code=row["code"],
                ended=row["ended"],
                amount=_amount(row["amount"]),
            )
            for row in rows
        ]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._db.execute("DELETE FROM call")
            self.era += 1

    def _rows(self, sql: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def _where(wanted: CallFilter) -> tuple[str, list[Any]]:
    """The condition in SQL, and what is bound to it."""
    conditions, values = ["1 = 1"], list[Any]()
    for column in ("kind", "operation", "ended", "conversation_id"):
        value = getattr(wanted, column)
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)
    if wanted.code:
        conditions.append("? IN (code, ended_code)")
        values.append(wanted.code)
    if wanted.search:
        conditions.append(_FOUND)
        values += [f"%{_escaped(text)}%" for text in _spellings(wanted.search)] * 2
    for comparison, moment in (("at >= ?", wanted.since), ("at < ?", wanted.until)):
        if moment:
            conditions.append(comparison)
            values.append(moment.isoformat())
    return " AND ".join(conditions), values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _spellings(text: str) -> tuple[str, str]:
    """A text to look for, and the same as a number is kept, if it is one."""
    digits = re.sub(r"[\s+().-]", "", text)
    return text, digits if digits.isdecimal() else text


def _pays(call: Call) -> bool:
    """Whether callbacks are about this call's payment, and not asked about or sent by it."""
    is_payment = call.kind == "call" and not call.operation.startswith("query_")
    return is_payment and bool(call.conversation_id)


def _storable(value: Any) -> Any:
    # A caller's JSON may hold half of a surrogate pair, which no database takes.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _call(row: sqlite3.Row) -> Call:
    values = dict(row)
    del values["status"]
    values["at"] = _time(values["at"])
    values["ended_at"] = _time(values["ended_at"]) if values["ended_at"] else None
    values["amount"] = _amount(values["amount"])
    return Call(**values)


def _amount(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)
