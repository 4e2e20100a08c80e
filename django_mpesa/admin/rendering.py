"""How the admin shows a state, an error, a document and what is secret in them."""

from __future__ import annotations

import json
from typing import Any

from django.utils.html import format_html

from mpesa_integrations.core.errors import MpesaError
from mpesa_integrations.core.failures import log_failure
from mpesa_integrations.core.masking import mask_msisdns_in


def state_badge(value: str, label: str) -> str:
    """A state or a verdict, in its colour.

    Args:
        value: as it is stored; its colour is in `static/django_mpesa/admin.css`.
        label: as people read it.
    """
    return format_html('<span class="mpesa-state mpesa-{}">{}</span>', value, label)


def told_of(error: Exception, event: str, **about: object) -> str:
    """What a page tells of a row that failed, while the others go on.

    Of an error that is not the library's own, only its class, since its words may show a row; that
    one is logged.

    Args:
        error: what was caught.
        event: the log's word for it, as `payment.not_checked`.
        about: what a person finds the row by, in the log.
    """
    if isinstance(error, MpesaError):
        return str(error)
    log_failure(event, error, **about)
    return type(error).__name__


def json_text(value: Any) -> str:
    """A document of JSON as lines of text, its phone numbers masked."""
    return mask_msisdns_in(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def preformatted(text: str) -> str:
    """Text whose lines and spaces are kept."""
    return format_html('<pre class="mpesa-text">{}</pre>', text)
