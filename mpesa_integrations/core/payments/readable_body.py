"""A stored callback's body as a person may see it, for the admins of both frameworks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MpesaError
from ..masking import mask_msisdns_in
from ..messages import Message
from ..protocol.answers import UnreadableBody, read_json_object
from ..redaction import CREDENTIALS, HIDDEN

_MOST_OPENED = 100
"""Brackets: with many more the indents of a small body can be a hundred megabytes."""


@dataclass(frozen=True, slots=True)
class ReadableBody:
    """A body without phone numbers and the account's secrets.

    Attributes:
        text: the body; "" where it is not shown.
        note: what is to be said of it first, if anything.
    """

    text: str
    note: Message | None = None

    def in_language(self, language: str | None) -> str:
        """All of it as one text; the language as for `Message.in_language`."""
        said = "" if self.note is None else self.note.in_language(language)
        return "\n\n".join(filter(None, (said, self.text)))


def readable_body(body: bytes, options: Callable[[], Mapping[str, Any] | None]) -> ReadableBody:
    """Make a body readable. Where the account's secrets cannot be had, it is not shown.

    Args:
        body: the bytes that came.
        options: gives the account's settings, or None where it is no more; raises as
            `Accounts.options`.
    """
    try:
        secrets = options() or {}
    except MpesaError as error:
        why = Message(
            "The body is not shown: what is secret in it cannot be told while the account's "
            "settings cannot be had. %(problem)s",
            problem=str(error),
        )
        return ReadableBody("", why)
    note = None
    try:
        text = _indented(body)
    except UnreadableBody as error:
        note = Message("The body %(problem)s. As it arrived:", problem=str(error))
        text = body.decode(errors="replace")
    text = mask_msisdns_in(text)
    for name in CREDENTIALS:
        if secrets.get(name):
            text = text.replace(str(secrets[name]), HIDDEN)
    return ReadableBody(text, note)


def _indented(body: bytes) -> str:
    parsed = read_json_object(body)
    if body.count(b"[") + body.count(b"{") > _MOST_OPENED:
        raise UnreadableBody("is nested too deep")
    return json.dumps(parsed, indent=2, ensure_ascii=False)
