"""Parts of pages that are asked for every second, and answered where they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from flask import Response, request


def version_of(*shown: object) -> str:
    """What changes whenever one of the things that a part shows does."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def unless_seen(version: str, render: Callable[[], str]) -> str | Response:
    """A part as it now is; nothing for a page that has this version of it."""
    return Response(status=204) if request.args.get("seen") == version else render()
