"""What the portal keeps: its people, the letters it would have sent, and requests from the box."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mpesa_integrations.simulator.account import SERVICE_PROVIDER_CODE
from mpesa_integrations.simulator.files import write_private

from .database import Database, moment, read_moment
from .users import User, Users

READY_MADE_EMAIL = "developer@example.com"
_SECRETS_FILE = "portal.json"
_DATABASE_FILE = "portal.sqlite3"
_HISTORY_KEPT = 50
_OUTBOX_KEPT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyMade:
    """The account that is there from the start, so that nobody has to sign up first."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A letter that the real portal would have sent.

    Attributes:
        at: aware UTC.
        kind: what its link does: `activation`, or a purpose of a token in `users`.
        user_id: whose account it is about.
    """

    at: datetime
    kind: str
    user_id: int
    recipient: str
    link: str = field(repr=False)


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
        users: the people.
    """

    def __init__(self, state_dir: Path) -> None:
        self._db = Database(state_dir / _DATABASE_FILE)
        self.users: Users = Users(self._db)
        path = state_dir / _SECRETS_FILE
        if not path.is_file():
            made = {"secret_key": secrets.token_hex(32), "password": secrets.token_urlsafe(9)}
            write_private(path, json.dumps(made).encode())
        kept = json.loads(path.read_text())
        self.secret_key: str = kept["secret_key"]
        self.ready_made: ReadyMade = ReadyMade(email=READY_MADE_EMAIL, password=kept["password"])
        self.users.keep_ready_made(
            READY_MADE_EMAIL, self.ready_made.password, SERVICE_PROVIDER_CODE
        )

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def write_letter(self, kind: str, user_id: int, recipient: str, link: str) -> None:
        """Put a letter into the outbox."""
        self._db.change(
            "INSERT INTO message (at, kind, user_id, recipient, link) VALUES (?, ?, ?, ?, ?)",
            moment(),
            kind,
            user_id,
            recipient.strip().lower(),
            link,
        )
        self._db.change(
            "DELETE FROM message WHERE id <= (SELECT MAX(id) FROM message) - ?", _OUTBOX_KEPT
        )

    def outbox(self) -> list[Letter]:
        """The letters, latest first."""
        rows = self._db.rows("SELECT * FROM message ORDER BY id DESC")
        return [
            Letter(
                at=read_moment(row["at"]),
                kind=row["kind"],
                user_id=row["user_id"] or 0,
                recipient=row["recipient"],
                link=row["link"],
            )
            for row in rows
        ]

    def keep_request(self, user: User, content: dict[str, Any]) -> None:
        """Keep a request from the Request Box; the oldest of the user go first."""
        self._db.change(
            "INSERT INTO sent_request (user_id, at, content) VALUES (?, ?, ?)",
            user.id,
            moment(),
            json.dumps(content),
        )
        self._db.change(
            "DELETE FROM sent_request WHERE user_id = ? AND id NOT IN"
            " (SELECT id FROM sent_request WHERE user_id = ? ORDER BY id DESC LIMIT ?)",
            user.id,
            user.id,
            _HISTORY_KEPT,
        )

    def sent_requests(self, user: User) -> list[SentRequest]:
        """A user's requests from the Request Box, latest first."""
        rows = self._db.rows(
            "SELECT * FROM sent_request WHERE user_id = ? ORDER BY id DESC", user.id
        )
        return [
            SentRequest(id=row["id"], at=read_moment(row["at"]), content=json.loads(row["content"]))
            for row in rows
        ]
