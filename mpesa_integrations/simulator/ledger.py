"""The simulated platform's ledger: wallets and transactions in SQLite, to the centavo.

Whether a request is well formed is checked in `checks`; here money moves or does not.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from .transactions import Transaction, to_centavos, to_meticais

LEDGER_FILE = "ledger.sqlite3"
ISSUER = "issuer"
"""The wallet that opening balances come out of, so that all balances always sum to zero."""
OPENING_BALANCES = {"customer": 100_000_00, "business": 1_000_000_00}
"""Centavos that a wallet is opened with: a customer's when first seen, and the account's own."""

_STATUS_OF_CODE = {"INS-0": "Completed", "INS-5": "Cancelled", "INS-9": "Expired"}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS wallet (
    name TEXT PRIMARY KEY,
    centavos INTEGER NOT NULL,
    CHECK (centavos >= 0 OR name = 'issuer')
);
CREATE TABLE IF NOT EXISTS ledger_transaction (
    id INTEGER PRIMARY KEY,
    operation TEXT NOT NULL,
    third_party_reference TEXT NOT NULL UNIQUE,
    transaction_reference TEXT,
    conversation_id TEXT NOT NULL UNIQUE,
    transaction_id TEXT UNIQUE,
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    centavos INTEGER NOT NULL CHECK (centavos > 0),
    reversed_centavos INTEGER NOT NULL DEFAULT 0
        CHECK (reversed_centavos BETWEEN 0 AND centavos),
    status TEXT NOT NULL,
    code TEXT,
    original_id INTEGER REFERENCES ledger_transaction (id),
    created_at TEXT NOT NULL,
    settled_at TEXT
);
"""


class DuplicateReference(Exception):  # noqa: N818 - a finding
    """A transaction with this third-party reference is in the ledger already."""


class Ledger:
    """The ledger of one simulated platform; safe to be used from many threads and processes."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
        self._db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        if not read_only:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)

    @classmethod
    def open(cls, state_dir: Path | str) -> Ledger:
        """Open the ledger that a gateway keeps in a state directory, to read it.

        Raises:
            FileNotFoundError: there is no ledger in that directory.
        """
        path = Path(state_dir) / LEDGER_FILE
        if not path.is_file():
            raise FileNotFoundError(f"There is no ledger in {state_dir}: no gateway has run there")
        return cls(path, read_only=True)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def open_business(self, shortcode: str) -> None:
        """Open the account's own wallet, if it is not there, with the opening balance."""
        with self._writing():
            self._open_wallet(shortcode, OPENING_BALANCES["business"])

    def begin(
        self,
        *,
        operation: str,
        third_party_reference: str,
        transaction_reference: str | None,
        payer: str,
        payee: str,
        amount: Decimal,
        original: Transaction | None = None,
    ) -> Transaction:
        """Book a transaction as pending; no money moves yet.

        Raises:
            DuplicateReference: the third-party reference is taken.
        """
        now = datetime.now(timezone.utc)
        conversation_id = self.new_conversation_id()
        with self._writing():
            for name in (payer, payee):
                self._open_wallet(name, OPENING_BALANCES["customer"] if len(name) == 12 else 0)
            try:
                self._db.execute(
                    "INSERT INTO ledger_transaction (operation, third_party_reference,"
                    " transaction_reference, conversation_id, payer, payee, centavos, status,"
                    " original_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'Pending',"
                    " (SELECT id FROM ledger_transaction WHERE transaction_id = ?), ?)",
                    (
                        operation,
                        third_party_reference,
                        transaction_reference,
                        conversation_id,
                        payer,
                        payee,
                        to_centavos(amount),
                        original.transaction_id if original else None,
                        now.isoformat(),
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise DuplicateReference(third_party_reference) from error
            return self._one("conversation_id", conversation_id)

    def new_conversation_id(self) -> str:
        """Make one of the documented shape; a test may put another in its place."""
        return f"AG_{datetime.now(timezone.utc):%Y%m%d}_{secrets.token_hex(10)}"

    def new_transaction_id(self) -> str:
        """Make one of the documented shape; a test may put another in its place."""
        alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        return "".join(secrets.choice(alphabet) for _ in range(11))

    def settle(self, transaction: Transaction, code: str = "INS-0") -> Transaction:
        """Decide a pending transaction, once: the first decision stands.

        Args:
            transaction: as `begin` gave it.
            code: `INS-0` moves the money, if the payer has it; another code declines.

        Returns:
            The transaction as it now stands.
        """
        with self._writing():
            row = self._db.execute(
                "SELECT * FROM ledger_transaction WHERE conversation_id = ?",
                (transaction.conversation_id,),
            ).fetchone()
            # Gone when the ledger was reset in between: then there is nothing left to decide.
            if row is None or row["status"] != "Pending":
                return transaction if row is None else self._record(row)
            if code == "INS-0":
                code = self._move(row)
            self._db.execute(
                "UPDATE ledger_transaction SET status = ?, code = ?, transaction_id = ?,"
                " settled_at = ? WHERE id = ?",
                (
                    _STATUS_OF_CODE.get(code, "Failed"),
                    code,
                    self.new_transaction_id() if code == "INS-0" else None,
                    datetime.now(timezone.utc).isoformat(),
                    row["id"],
                ),
            )
            return self._one("conversation_id", transaction.conversation_id)

    def find(self, reference: str) -> Transaction | None:
        """Find a transaction by transaction ID, conversation ID or third-party reference."""
        for column in ("transaction_id", "conversation_id", "third_party_reference"):
            found = list(self._select(f"t.{column} = ?", reference))
            if found:
                return found[0]
        return None

    def transactions(self) -> list[Transaction]:
        """All transactions, in the order in which they were booked."""
        return list(self._select("1 = 1"))

    def latest(self, limit: int) -> list[Transaction]:
        """The latest transactions, the last one first."""
        with self._lock:
            row = self._db.execute("SELECT MAX(id) FROM ledger_transaction").fetchone()
        return list(self._select("t.id > ?", (row[0] or 0) - limit))[::-1]

    def tally(self) -> list[tuple[str, str, int, Decimal]]:
        """Of each operation and status, how many transactions there are and of how much money."""
        with self._lock:
            rows = self._db.execute(
                "SELECT operation, status, COUNT(*), SUM(centavos) FROM ledger_transaction"
                " GROUP BY operation, status ORDER BY operation, status"
            ).fetchall()
        return [(row[0], row[1], row[2], to_meticais(row[3])) for row in rows]

    def customers(self) -> dict[str, Decimal]:
        """The balances in meticais of the customers' wallets, by MSISDN."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, centavos FROM wallet WHERE LENGTH(name) = 12 ORDER BY name"
            ).fetchall()
        return {row["name"]: to_meticais(row["centavos"]) for row in rows}

    def balance(self, name: str) -> Decimal | None:
        """The balance in meticais of a wallet, by MSISDN or shortcode; None if it is not open."""
        with self._lock:
            row = self._db.execute("SELECT centavos FROM wallet WHERE name = ?", (name,)).fetchone()
        return None if row is None else to_meticais(row["centavos"])

    def total(self) -> Decimal:
        """The sum of all balances: zero, as long as no money was made or lost."""
        with self._lock:
            row = self._db.execute("SELECT COALESCE(SUM(centavos), 0) FROM wallet").fetchone()
        return to_meticais(row[0])

    def export(self) -> dict[str, Any]:
        """Everything, as a dict that JSON can hold: amounts as text, times as ISO 8601 in UTC."""
        with self._lock:
            wallets = self._db.execute("SELECT name, centavos FROM wallet ORDER BY name").fetchall()
            transactions = self.transactions()
        return {
            "transactions": [transaction.as_json() for transaction in transactions],
            "wallets": {row["name"]: f"{to_meticais(row['centavos']):.2f}" for row in wallets},
            "total": f"{sum((to_meticais(row['centavos']) for row in wallets), Decimal(0)):.2f}",
        }

    def clear(self) -> None:
        """Forget all transactions and wallets."""
        with self._writing():
            self._db.execute("DELETE FROM ledger_transaction")
            self._db.execute("DELETE FROM wallet")

    def _move(self, row: sqlite3.Row) -> str:
        """Move the money of a pending transaction, or say by a code why it cannot be."""
        if row["original_id"] is not None:
            changed = self._db.execute(
                "UPDATE ledger_transaction SET reversed_centavos = reversed_centavos + ?"
                " WHERE id = ? AND reversed_centavos + ? <= centavos AND"
                " (SELECT centavos FROM wallet WHERE name = ?) >= ?",
                (
                    row["centavos"],
                    row["original_id"],
                    row["centavos"],
                    row["payer"],
                    row["centavos"],
                ),
            ).rowcount
            if not changed:
                return "INS-6" if self._covers(row) else "INS-2006"
        if not self._covers(row):
            return "INS-2006"
        for name, centavos in ((row["payer"], -row["centavos"]), (row["payee"], row["centavos"])):
            self._db.execute(
                "UPDATE wallet SET centavos = centavos + ? WHERE name = ?", (centavos, name)
            )
        return "INS-0"

    def _covers(self, row: sqlite3.Row) -> bool:
        balance = self._db.execute(
            "SELECT centavos FROM wallet WHERE name = ?", (row["payer"],)
        ).fetchone()
        return bool(balance["centavos"] >= row["centavos"])

    def _open_wallet(self, name: str, centavos: int) -> None:
        opened = self._db.execute(
            "INSERT INTO wallet (name, centavos) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (name, centavos),
        ).rowcount
        if opened:
            self._db.execute(
                "INSERT INTO wallet (name, centavos) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET centavos = centavos + excluded.centavos",
                (ISSUER, -centavos),
            )

    def _one(self, column: str, value: str) -> Transaction:
        return next(self._select(f"t.{column} = ?", value))

    def _record(self, row: sqlite3.Row) -> Transaction:
        return self._one("conversation_id", row["conversation_id"])

    def _select(self, where: str, *values: str | int) -> Iterator[Transaction]:
        # `where` is written in this module only; what comes from outside is bound.
        query = (
            "SELECT t.*, o.transaction_id AS original_transaction_id FROM ledger_transaction t"  # noqa: S608
            f" LEFT JOIN ledger_transaction o ON o.id = t.original_id WHERE {where} ORDER BY t.id"
        )
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return (Transaction.from_row(row) for row in rows)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
