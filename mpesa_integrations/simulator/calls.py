"""The journal: every call and callback, for reports and the live log.

In SQLite, so that it outlives a restart, and bounded. What is written to it is made in `journal`,
with secrets shortened and numbers masked.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.protocol.codes import Kind

from .masking import TEXT_KEPT

logger = logging.getLogger("mpesa_integrations.simulator")

CALLS_FILE = "calls.sqlite3"
CALLS_KEPT = 10_000
"""How many calls and callbacks are kept; the oldest go first."""
_PRUNE_EVERY = 100

_COLUMNS = (
    "at", "kind", "operation", "code", "outcome", "http_status", "seconds", "msisdn", "amount",
    "transaction_reference", "third_party_reference", "problem", "sent", "answered",
)  # fmt: skip
_SORTABLE = ("at", "operation", "code", "outcome", "http_status", "seconds", "amount")
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
    answered TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS call_at ON call (at);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call to the gateway, or one callback of it.

    Attributes:
        at: when it began, aware UTC.
        kind: `call` or `callback`.
        code: the response code, empty where the answer had none.
        outcome: what the answer proves, a value of `Kind`.
        http_status: as answered, None where the connection was cut or never made.
        seconds: how long the answer took.
        msisdn: masked, empty where there is none.
        amount: meticais, None where there is none.
        problem: what is wrong with the answer to a callback.
        sent: the request as text, its secrets shortened and numbers masked.
        answered: the answer's body, likewise.
        id: grows with time; 0 until it is kept.
    """

    at: datetime
    kind: str
    operation: str
    code: str
    outcome: str
    http_status: int | None
    seconds: float
    msisdn: str = ""
    amount: Decimal | None = None
    transaction_reference: str = ""
    third_party_reference: str = ""
    problem: str = ""
    sent: str = ""
    answered: str = ""
    id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFilter:
    """Which calls are meant; what is left empty does not narrow them.

    Attributes:
        since: aware UTC.
        after: only calls with a greater ID.
    """

    kind: str = ""
    operation: str = ""
    code: str = ""
    outcome: str = ""
    since: datetime | None = None
    after: int = 0

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, and what is bound to it."""
        conditions, values = ["id > ?"], [self.after]
        bound: list[Any] = list(values)
        for column in ("kind", "operation", "code", "outcome"):
            value = getattr(self, column)
            if value:
                conditions.append(f"{column} = ?")
                bound.append(value)
        if self.since:
            conditions.append("at >= ?")
            bound.append(self.since.isoformat())
        return " AND ".join(conditions), bound


class Tally(NamedTuple):
    """What is counted of a call."""

    at: datetime
    operation: str
    code: str
    outcome: str


class CallLog:
    """The journal in a file; safe to be used from many threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._written = 0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        # A journal for a person to look at: losing its end in a power cut is no harm.
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; what is recorded after that is dropped."""
        with self._lock:
            self._db.close()

    def record(self, call: Call) -> None:
        """Keep a call, and drop the oldest beyond `CALLS_KEPT`."""
        values = [getattr(call, column) for column in _COLUMNS]
        values[0] = call.at.isoformat()
        values[_COLUMNS.index("amount")] = "" if call.amount is None else f"{call.amount:.2f}"
        values = [_storable(value) for value in values]
        marks = ", ".join("?" * len(_COLUMNS))
        with self._lock:
            try:
                self._db.execute(
                    f"INSERT INTO call ({', '.join(_COLUMNS)}) VALUES ({marks})",  # noqa: S608
                    values,
                )
            except sqlite3.Error as error:
                # Closed since the gateway is stopping, or a full disk: no reason to fail a payment.
                logger.debug("calls.not_recorded problem=%s", error)
                return
            self._written += 1
            if self._written % _PRUNE_EVERY == 0:
                self._db.execute(
                    "DELETE FROM call WHERE id <= (SELECT MAX(id) FROM call) - ?", (CALLS_KEPT,)
                )

    def select(
        self,
        wanted: CallFilter,
        *,
        sort: str = "at",
        descending: bool = True,
        limit: int = CALLS_KEPT,
        offset: int = 0,
    ) -> list[Call]:
        """Find calls.

        Args:
            wanted: which.
            sort: a column; another name sorts by time.
            descending: greatest, or latest, first.
            limit: how many at the most.
            offset: how many to pass over.
        """
        column = sort if sort in _SORTABLE else "at"
        column = "CAST(amount AS REAL)" if column == "amount" else column
        direction = "DESC" if descending else "ASC"
        where, values = wanted.where()
        with self._lock:
            rows = self._db.execute(
                f"SELECT * FROM call WHERE {where} ORDER BY {column} {direction}, id {direction}"  # noqa: S608
                " LIMIT ? OFFSET ?",
                [*values, limit, offset],
            ).fetchall()
        return [_call(row) for row in rows]

    def find(self, number: int) -> Call | None:
        """Find a call by its ID."""
        with self._lock:
            row = self._db.execute("SELECT * FROM call WHERE id = ?", (number,)).fetchone()
        return _call(row) if row else None

    def count(self, wanted: CallFilter) -> int:
        """How many calls there are."""
        where, values = wanted.where()
        with self._lock:
            row = self._db.execute(
                f"SELECT COUNT(*) FROM call WHERE {where}",  # noqa: S608
                values,
            ).fetchone()
        return int(row[0])

    def tally(self, wanted: CallFilter) -> list[Tally]:
        """When calls were made and what became of them, without the texts: for counting."""
        where, values = wanted.where()
        with self._lock:
            rows = self._db.execute(
                f"SELECT at, operation, code, outcome FROM call WHERE {where}",  # noqa: S608
                values,
            ).fetchall()
        return [Tally(_time(row["at"]), *row[1:]) for row in rows]

    def values(self, column: str) -> list[str]:
        """The distinct operations, codes or outcomes of the calls that are kept."""
        if column not in ("operation", "code", "outcome"):
            raise ValueError(f"There is no choice of {column}")
        with self._lock:
            rows = self._db.execute(
                f"SELECT DISTINCT {column} FROM call WHERE {column} != '' ORDER BY 1"  # noqa: S608
            ).fetchall()
        return [str(row[0]) for row in rows]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._db.execute("DELETE FROM call")


def _storable(value: Any) -> Any:
    # A caller's JSON may hold half of a surrogate pair, which no database takes.
    if isinstance(value, str):
        return value[:TEXT_KEPT].encode("utf-8", "replace").decode()
    return value


def outcome_of(code: str, *, accepted: bool = False) -> str:
    """What an answer proves, for the journal: a value of `Kind`."""
    if accepted:
        return Kind.ACCEPTED.value
    return (ResponseCode(code).kind if code else Kind.UNKNOWN).value


def _call(row: sqlite3.Row) -> Call:
    values = dict(row)
    values["at"] = _time(values["at"])
    values["amount"] = Decimal(values["amount"]) if values["amount"] else None
    return Call(**values)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)
