"""The portal's people: signing up and in, their details, and what proves who somebody is."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from werkzeug.security import check_password_hash, generate_password_hash

from .database import Database, moment, read_moment

NEW_PASSWORD, NEW_EMAIL = "password", "email"
LINK_LIFE = timedelta(hours=1)
CODE_LIFE = timedelta(minutes=10)
CODE_TRIES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody who can sign in.

    Attributes:
        service_provider_code: the shortcode of the account that is theirs alone.
        user_name: what they sign in with in place of the e-mail address; empty if nothing.
        phone: an MSISDN.
        phone_confirmed: whether a code that was sent to it came back.
        session_mark: changes with the password, so that it ends sessions.
    """

    id: int
    email: str
    service_provider_code: str
    user_name: str
    name: str
    company: str
    phone: str
    phone_confirmed: bool
    session_mark: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneCode:
    """A code that was sent to a phone, and has not come back.

    Attributes:
        phone: an MSISDN.
        expires_at: aware UTC.
    """

    phone: str
    code: str = field(repr=False)
    expires_at: datetime


class Users:
    """The people in the portal's database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep_ready_made(self, email: str, password: str, service_provider_code: str) -> None:
        """Make the account that is there from the start, unless it is there with this password."""
        row = self._active("email = ?", email)
        if row is None or not check_password_hash(row["password_hash"], password):
            hashed = generate_password_hash(password)
            self._db.change(
                "INSERT INTO user (email, phone, password_hash, activated_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash",
                email,
                "258840000000",
                hashed,
                moment(),
            )
        self._db.change(
            "UPDATE user SET service_provider_code = ?,"
            " phone_confirmed_at = COALESCE(phone_confirmed_at, activated_at) WHERE email = ?",
            service_provider_code,
            email,
        )

    def sign_up(self, email: str, password: str) -> tuple[int, str] | None:
        """Make an account that must be activated.

        Returns:
            The new user's ID and the activation token; None where the address has an account.
        """
        token = secrets.token_urlsafe(32)
        made = self._db.change(
            "INSERT INTO user (email, phone, password_hash, activation_hash) VALUES (?, '', ?, ?)"
            " ON CONFLICT (email) DO NOTHING",
            _lowered(email),
            generate_password_hash(password),
            _digest(token),
        )
        row = self._db.row("SELECT id FROM user WHERE activation_hash = ?", _digest(token))
        return (row["id"], token) if made and row else None

    def without(self, accounts: Collection[str]) -> list[int]:
        """The IDs of who is active and has none of the gateway's accounts, by their shortcodes."""
        rows = self._db.rows(
            "SELECT id, service_provider_code FROM user WHERE activated_at IS NOT NULL"
        )
        return [row["id"] for row in rows if row["service_provider_code"] not in accounts]

    def assign(self, number: int, service_provider_code: str) -> None:
        """Give somebody an account of the gateway, by its shortcode."""
        self._db.change(
            "UPDATE user SET service_provider_code = ? WHERE id = ?", service_provider_code, number
        )

    def activate(self, token: str) -> bool:
        """Activate the account that a token was made for; again does no harm."""
        return bool(
            self._db.change(
                "UPDATE user SET activated_at = COALESCE(activated_at, ?)"
                " WHERE activation_hash = ?",
                moment(),
                _digest(token),
            )
        )

    def sign_in(self, name: str, password: str) -> User | None:
        """Find the activated account of an e-mail address or user name, and its password."""
        row = self._named(name)
        right = check_password_hash(row["password_hash"] if row else _nobodys_hash(), password)
        return _user(row) if row and right else None

    def get(self, number: int) -> User | None:
        """Find an activated account by its ID."""
        row = self._active("id = ?", number)
        return _user(row) if row else None

    def find(self, name: str) -> User | None:
        """Find an activated account by its e-mail address or user name."""
        row = self._named(name)
        return _user(row) if row else None

    def knows_password(self, user: User, password: str) -> bool:
        """Whether this is somebody's password."""
        row = self._active("id = ?", user.id)
        return row is not None and check_password_hash(row["password_hash"], password)

    def describe(self, user: User, *, name: str, company: str) -> None:
        """Set somebody's name and company."""
        self._db.change(
            "UPDATE user SET name = ?, company = ? WHERE id = ?", name, company, user.id
        )

    def rename(self, user: User, user_name: str) -> bool:
        """Set what somebody signs in with besides the e-mail address; gives whether it was free."""
        return bool(
            self._db.change(
                "UPDATE OR IGNORE user SET user_name = ? WHERE id = ?",
                _lowered(user_name) or None,
                user.id,
            )
        )

    def set_password(self, user: User, password: str) -> None:
        """Set a password. Sessions that began with another end, and so do letters for one."""
        self._db.change(
            "UPDATE user SET password_hash = ? WHERE id = ?",
            generate_password_hash(password),
            user.id,
        )
        self._end_tokens(user.id, NEW_PASSWORD)

    def new_token(self, user: User, purpose: str, email: str = "") -> str:
        """Make the token of a letter's link, which can be used once, within `LINK_LIFE`.

        Args:
            purpose: what it is for; an earlier token for it is no longer one.
            email: the new address, of a letter that confirms one.
        """
        token = secrets.token_urlsafe(32)
        self._end_tokens(user.id, purpose)
        self._db.change(
            "INSERT INTO token (hash, user_id, purpose, email, expires_at) VALUES (?, ?, ?, ?, ?)",
            _digest(token),
            user.id,
            purpose,
            _lowered(email),
            moment(LINK_LIFE),
        )
        return token

    def user_of_token(self, token: str, purpose: str) -> User | None:
        """Whose link it is; None where there is none such, or no longer."""
        row = self._token(token, purpose)
        return self.get(row["user_id"]) if row else None

    def change_email(self, token: str) -> bool:
        """Set the address that a letter's link confirms; gives whether it is one, and was free."""
        row = self._token(token, NEW_EMAIL)
        if row is None or not self._db.change("DELETE FROM token WHERE hash = ?", row["hash"]):
            return False
        # Nor does a letter that went to the old address set a password any more.
        self._end_tokens(row["user_id"], NEW_PASSWORD)
        return bool(
            self._db.change(
                "UPDATE OR IGNORE user SET email = ? WHERE id = ?", row["email"], row["user_id"]
            )
        )

    def send_code(self, user: User, phone: str) -> None:
        """Send a code to a phone: put it where the customers' page finds it."""
        self._db.change(
            "INSERT OR REPLACE INTO phone_code (user_id, phone, code, tries_left, expires_at)"
            " VALUES (?, ?, ?, ?, ?)",
            user.id,
            phone,
            f"{secrets.randbelow(10**6):06}",
            CODE_TRIES,
            moment(CODE_LIFE),
        )

    def phone_code(self, user: User) -> PhoneCode | None:
        """The code that was sent to somebody and can still come back."""
        row = self._db.row(
            "SELECT * FROM phone_code WHERE user_id = ? AND tries_left > 0 AND expires_at > ?",
            user.id,
            moment(),
        )
        if row is None:
            return None
        return PhoneCode(
            phone=row["phone"], code=row["code"], expires_at=read_moment(row["expires_at"])
        )

    def confirm_phone(self, user: User, code: str) -> bool:
        """Take a code back; the phone that it was sent to is then the user's."""
        sent = self.phone_code(user)
        tried = self._db.change(
            "UPDATE phone_code SET tries_left = tries_left - 1"
            " WHERE user_id = ? AND tries_left > 0",
            user.id,
        )
        if sent is None or not tried or not hmac.compare_digest(sent.code.encode(), code.encode()):
            return False
        self._db.change("DELETE FROM phone_code WHERE user_id = ?", user.id)
        self._db.change(
            "UPDATE user SET phone = ?, phone_confirmed_at = ? WHERE id = ?",
            sent.phone,
            moment(),
            user.id,
        )
        return True

    def _named(self, name: str) -> sqlite3.Row | None:
        return self._active("email = ? OR user_name = ?", _lowered(name), _lowered(name))

    def _active(self, where: str, *values: str | int) -> sqlite3.Row | None:
        # `where` is written in this module only; what comes from outside is bound.
        return self._db.row(
            f"SELECT * FROM user WHERE ({where}) AND activated_at IS NOT NULL",  # noqa: S608
            *values,
        )

    def _token(self, token: str, purpose: str) -> sqlite3.Row | None:
        return self._db.row(
            "SELECT * FROM token WHERE hash = ? AND purpose = ? AND expires_at > ?",
            _digest(token),
            purpose,
            moment(),
        )

    def _end_tokens(self, number: int, purpose: str) -> None:
        self._db.change("DELETE FROM token WHERE user_id = ? AND purpose = ?", number, purpose)


@cache
def _nobodys_hash() -> str:
    """What a sign-in with an unknown address is compared with: it takes as long as another."""
    return generate_password_hash(secrets.token_urlsafe())


def _lowered(name: str) -> str:
    return name.strip().lower()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _user(row: sqlite3.Row) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        service_provider_code=row["service_provider_code"],
        user_name=row["user_name"] or "",
        name=row["name"],
        company=row["company"],
        phone=row["phone"],
        phone_confirmed=row["phone_confirmed_at"] is not None,
        session_mark=_digest(row["password_hash"])[:16],
    )
