"""What the portal keeps: its people, the mail it would have sent, and requests from the box."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from mpesa_integrations.core.markets.mozambique import normalise_msisdn
from mpesa_integrations.simulator.account import write_private

READY_MADE_EMAIL = "developer@example.com"
SHORTEST_PASSWORD = 10
_SECRETS_FILE = "portal.json"
_DATABASE_FILE = "portal.sqlite3"
_HISTORY_KEPT = 50
_OUTBOX_KEPT = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*")
_OPERATOR_PREFIXES = ("82", "83", "84", "85", "86", "87")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    phone TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    activation_hash TEXT UNIQUE,
    activated_at TEXT
);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    recipient TEXT NOT NULL,
    link TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sent_request (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES user (id),
    at TEXT NOT NULL,
    content TEXT NOT NULL
);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyMade:
    """The account that is there from the start, so that nobody has to sign up first."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody who can sign in."""

    id: int
    email: str
    phone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A letter that the real portal would have sent: how to activate an account.

    Attributes:
        at: aware UTC.
    """

    at: datetime
    recipient: str
    link: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SentRequest:
    """A request sent from the Request Box, without its secrets.

    Attributes:
        at: aware UTC.
        content: what the page of its answer shows.
    """

    id: int
    at: datetime
    content: dict[str, Any]


class Store:
    """The portal's database and secrets in a state directory; safe to be used from many threads.

    Attributes:
        secret_key: signs the sessions; kept over restarts.
        ready_made: the account that is there from the start.
    """

    def __init__(self, state_dir: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            state_dir / _DATABASE_FILE, check_same_thread=False, isolation_level=None
        )
        self._db.row_factory = sqlite3.Row
        (state_dir / _DATABASE_FILE).chmod(0o600)
        self._db.executescript(_SCHEMA)
        path = state_dir / _SECRETS_FILE
        if not path.is_file():
            made = {"secret_key": secrets.token_hex(32), "password": secrets.token_urlsafe(9)}
            write_private(path, json.dumps(made).encode())
            self._make_ready(made["password"])
        kept = json.loads(path.read_text())
        self.secret_key: str = kept["secret_key"]
        self.ready_made = ReadyMade(email=READY_MADE_EMAIL, password=kept["password"])

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def sign_up(self, email: str, phone: str, password: str) -> str | None:
        """Make an account that must be activated.

        Args:
            email: an address that `email_is_well_formed`.
            phone: a number that `phone_is_well_formed`.
            password: at least `SHORTEST_PASSWORD` characters.

        Returns:
            The activation token; None where the address has an account already.
        """
        token = secrets.token_urlsafe(32)
        hashed = generate_password_hash(password)
        with self._lock:
            made = self._db.execute(
                "INSERT INTO user (email, phone, password_hash, activation_hash)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (email) DO NOTHING",
                (
                    _address(email),
                    normalise_msisdn(phone, _OPERATOR_PREFIXES),
                    hashed,
                    _digest(token),
                ),
            ).rowcount
        return token if made else None

    def write_to(self, recipient: str, link: str) -> None:
        """Put a letter into the outbox."""
        with self._lock:
            self._db.execute(
                "INSERT INTO message (at, recipient, link) VALUES (?, ?, ?)",
                (_now(), _address(recipient), link),
            )
            self._db.execute(
                "DELETE FROM message WHERE id <= (SELECT MAX(id) FROM message) - ?",
                (_OUTBOX_KEPT,),
            )

    def outbox(self) -> list[Message]:
        """The letters, latest first."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM message ORDER BY id DESC").fetchall()
        return [
            Message(at=_time(row["at"]), recipient=row["recipient"], link=row["link"])
            for row in rows
        ]

    def activate(self, token: str) -> bool:
        """Activate the account that a token was made for; again does no harm."""
        with self._lock:
            changed = self._db.execute(
                "UPDATE user SET activated_at = COALESCE(activated_at, ?)"
                " WHERE activation_hash = ?",
                (_now(), _digest(token)),
            ).rowcount
        return bool(changed)

    def sign_in(self, email: str, password: str) -> User | None:
        """Find the activated account of an address and its password."""
        with self._lock:
            row = self._db.execute(
                "SELECT * FROM user WHERE email = ? AND activated_at IS NOT NULL",
                (_address(email),),
            ).fetchone()
        right = check_password_hash(row["password_hash"] if row else _nobodys_hash(), password)
        return _user(row) if row and right else None

    def user(self, number: int) -> User | None:
        """Find an activated account by its ID."""
        with self._lock:
            row = self._db.execute(
                "SELECT * FROM user WHERE id = ? AND activated_at IS NOT NULL", (number,)
            ).fetchone()
        return _user(row) if row else None

    def keep_request(self, user: User, content: dict[str, Any]) -> None:
        """Keep a request from the Request Box; the oldest of the user go first."""
        with self._lock:
            self._db.execute(
                "INSERT INTO sent_request (user_id, at, content) VALUES (?, ?, ?)",
                (user.id, _now(), json.dumps(content)),
            )
            self._db.execute(
                "DELETE FROM sent_request WHERE user_id = ? AND id NOT IN"
                " (SELECT id FROM sent_request WHERE user_id = ? ORDER BY id DESC LIMIT ?)",
                (user.id, user.id, _HISTORY_KEPT),
            )

    def sent_requests(self, user: User) -> list[SentRequest]:
        """A user's requests from the Request Box, latest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM sent_request WHERE user_id = ? ORDER BY id DESC", (user.id,)
            ).fetchall()
        return [
            SentRequest(id=row["id"], at=_time(row["at"]), content=json.loads(row["content"]))
            for row in rows
        ]

    def _make_ready(self, password: str) -> None:
        self._db.execute(
            "INSERT INTO user (email, phone, password_hash, activated_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash",
            (READY_MADE_EMAIL, "258840000000", generate_password_hash(password), _now()),
        )


def email_is_well_formed(email: str) -> bool:
    """Whether a text looks like an e-mail address."""
    return len(email) <= 254 and bool(_EMAIL.fullmatch(email.strip()))


def phone_is_well_formed(phone: str) -> bool:
    """Whether a text is a Mozambican mobile number, of any operator."""
    try:
        normalise_msisdn(phone, _OPERATOR_PREFIXES)
    except ValueError:
        return False
    return True


@cache
def _nobodys_hash() -> str:
    """What a sign-in with an unknown address is compared with: it takes as long as another."""
    return generate_password_hash(secrets.token_urlsafe())


def _address(email: str) -> str:
    return email.strip().lower()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def _user(row: sqlite3.Row) -> User:
    return User(id=row["id"], email=row["email"], phone=row["phone"])
