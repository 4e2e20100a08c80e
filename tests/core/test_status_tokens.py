"""The tokens of links to a payment's status: what they show, and whose are taken."""

from __future__ import annotations

import base64
import re
import time

import pytest

from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.payments.status_tokens import (
    ExpiredStatusToken,
    InvalidStatusToken,
    StatusTokens,
)

REFERENCE = "KZ7TQ4M2KZ7TQ4M2KZ7T"


def _tokens(*keys: str | bytes) -> StatusTokens:
    return StatusTokens(lambda: keys)


@pytest.mark.parametrize("key", ["a site's key", b"bytes", "k", "ção", "x" * 500])
@pytest.mark.parametrize("payment", [("default", REFERENCE), ("payouts-2", "R"), ("ção", "A" * 64)])
def test_a_token_says_to_its_site_which_payment_is_meant(
    key: str | bytes, payment: tuple[str, str]
) -> None:
    token = _tokens(key).make(*payment)
    assert re.fullmatch(r"[A-Za-z0-9_-]{100,300}", token)
    assert _tokens(key).read(token) == payment


def test_a_token_shows_nothing_of_the_payment() -> None:
    token = _tokens("key").make("payouts", REFERENCE)
    shown = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert REFERENCE.encode() not in shown
    assert b"payouts" not in shown
    assert token != _tokens("key").make("payouts", REFERENCE)


def test_a_key_that_was_in_use_before_is_taken_and_none_is_made_with_it() -> None:
    old = _tokens("old").make("default", REFERENCE)
    assert _tokens("new", "older", "old").read(old) == ("default", REFERENCE)
    new = _tokens("new", "old").make("default", REFERENCE)
    with pytest.raises(InvalidStatusToken):
        _tokens("old").read(new)


def test_what_this_site_did_not_make_is_refused() -> None:
    tokens = _tokens("key")
    token = tokens.make("default", REFERENCE)
    forged = [
        "", "x", "status", "=" * 100, "ção", "A" * 140, "A" * 100_000, "\x00", "../../etc/passwd",
        token[:-1], token[1:], token * 2, token.swapcase(),
        *(token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
          for at in range(0, len(token) - 1, 7)),
        _tokens("another site's").make("default", REFERENCE),
    ]  # fmt: skip
    for each in forged:
        with pytest.raises(InvalidStatusToken) as caught:
            tokens.read(each)
        assert not isinstance(caught.value, ExpiredStatusToken)
    with pytest.raises(InvalidStatusToken):
        _tokens().read(token)


def test_a_token_is_good_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    token = _tokens("key").make("default", REFERENCE)
    tomorrow = time.time() + 24 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow - 60)
    assert _tokens("key").read(token) == ("default", REFERENCE)
    monkeypatch.setattr(time, "time", lambda: tomorrow + 60)
    with pytest.raises(ExpiredStatusToken):
        _tokens("key").read(token)
    with pytest.raises(InvalidStatusToken) as caught:
        _tokens("another site's").read(token)
    assert not isinstance(caught.value, ExpiredStatusToken)


@pytest.mark.parametrize("keys", [(), ("",)])
def test_a_site_without_a_key_makes_none(keys: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY") as caught:
        _tokens(*keys).make("default", REFERENCE)
    assert caught.value.setting == "SECRET_KEY"
