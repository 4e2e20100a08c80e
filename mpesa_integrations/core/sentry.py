"""What Sentry's SDK, where the application uses it, is kept from sending of ours.

By default it sends each request's URL, in which a callback has its token; the query of each
outgoing request, in which a customer name query has the number; and a command's arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from .masking import mask_msisdns_in
from .redaction import HIDDEN, without_secrets

_NUMBERS_IN = ("breadcrumbs", "spans", "extra")
_DEEPEST = 50  # the SDK's own parts are less deep, and it cuts all others


def keep_from_sentry() -> None:
    """Have each event looked over last before it is sent; cheap, to be called again and again."""
    sdk: Any = sys.modules.get("sentry_sdk")
    if sdk is None or not hasattr(sdk, "get_client"):
        return
    options = getattr(sdk.get_client(), "options", None)
    if not isinstance(options, dict):
        return
    theirs = options.get("event_scrubber")
    if not isinstance(theirs, _Scrubber):
        options["event_scrubber"] = _Scrubber(theirs)


class _Scrubber:
    """An event scrubber, as the SDK takes one: the configured one first, then ours."""

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs

    def scrub_event(self, event: dict[str, Any]) -> None:
        """Hide the secrets in use; and numbers in what is said of calls and of a command."""
        if self._theirs is not None:
            self._theirs.scrub_event(event)
        event.update(_cleaned(event, without_secrets))
        for part in _NUMBERS_IN:
            if part in event:
                event[part] = _cleaned(event[part], mask_msisdns_in)


def _cleaned(value: Any, clean: Callable[[str], str], within: tuple[Any, ...] = ()) -> Any:
    """Clean a value, and what is in it; hidden whole is what has itself in it, or is too deep."""
    if isinstance(value, str):
        return clean(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if len(within) == _DEEPEST or any(value is outer for outer in within):
        return HIDDEN
    within = (*within, value)
    if isinstance(value, Mapping):
        return {
            clean(name) if isinstance(name, str) else name: _cleaned(found, clean, within)
            for name, found in value.items()
        }
    return [_cleaned(found, clean, within) for found in value]
