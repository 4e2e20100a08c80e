"""What a page showed of a payment, for its form to bring back with what somebody made of it.

Who decides, or gives money back, goes by what the page says. By the time the form comes, a callback
or a colleague may have changed that.
"""

from __future__ import annotations

import hashlib
import json

from ..messages import Message
from .lifecycle import State
from .records import Record

CHANGED = Message("The payment has changed since this page was shown: look again, then decide.")
"""Shown where nothing was done, since who sent the form did not see the payment as it now is."""


def digest_of(record: Record) -> str:
    """A short text for a form's hidden field, another one once what people go by has changed.

    Args:
        record: the payment as the page shows it.
    """
    decided_at = record.conflict_decided_at
    seen = [
        State(record.state).value,
        record.conflict,
        decided_at and decided_at.isoformat(),
        f"{record.reversed_amount:.2f}",
        f"{record.reversal_pending:.2f}",
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


def has_changed(record: Record, digest: str | None) -> bool:
    """Whether a payment is no more as a page showed it.

    Args:
        record: the payment as it now is.
        digest: what the form brought back; None, or "", where it brought nothing, of which nobody
            knows what it showed.
    """
    return digest != digest_of(record)
