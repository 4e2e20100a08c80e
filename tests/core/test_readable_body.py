"""A callback's body for people: phone numbers and the account's secrets are not in it."""

from __future__ import annotations

import contextlib

import pytest

from mpesa_integrations.core.errors import ConfigurationError, RecordsUnavailable
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.readable_body import readable_body
from mpesa_integrations.core.protocol.answers import UnreadableBody
from mpesa_integrations.core.protocol.callbacks import read_callback
from mpesa_integrations.core.redaction import CREDENTIALS

SECRETS = {name: f"secret of {name}" for name in CREDENTIALS}


@pytest.mark.parametrize(
    ("body", "text", "note"),
    [
        ('{"a": "84 123 4567"}', '{\n  "a": "25884•••4567"\n}', None),
        ("84 123 4567", "25884•••4567", "The body is not JSON. As it arrived:"),
        ("", "", "The body is empty. As it arrived:"),
        ('{"a": "x secret of API_KEY"}', '{\n  "a": "x •••"\n}', None),
        ("{secret of CALLBACK_TOKEN", "{•••", "The body is not JSON. As it arrived:"),
    ],
)
def test_a_body_is_shown_without_what_is_secret(body: str, text: str, note: str | None) -> None:
    found = readable_body(body.encode(), lambda: SECRETS)
    assert (found.text, found.note) == (text, note)


def _nested(depth: int) -> bytes:
    return b'{"other": "\\u00e9", "a": ' + b"[" * depth + b"]" * depth + b"}"


def test_a_body_may_be_nested_as_deep_as_a_stranger_likes() -> None:
    for depth in range(900, 1000):  # at one of them it can be read, and not be written out
        with contextlib.suppress(UnreadableBody):
            read_callback(_nested(depth), MOZAMBIQUE)
    for depth in (1500, 20_000):
        assert readable_body(_nested(depth), lambda: SECRETS).note


def test_of_an_account_that_is_no_more_all_is_shown() -> None:
    assert readable_body(b"{}", lambda: None).in_language("en") == "{}"


@pytest.mark.parametrize("error", [ConfigurationError("no"), RecordsUnavailable("away")])
def test_where_the_accounts_secrets_cannot_be_had_the_body_is_not_shown(error: Exception) -> None:
    def options() -> None:
        raise error

    found = readable_body(b'{"a": 1}', options)
    assert found.text == ""
    assert found.in_language("en").startswith("The body is not shown")
    assert found.in_language("en").endswith(str(error))
    assert found.in_language("pt").startswith("O corpo não é mostrado")
