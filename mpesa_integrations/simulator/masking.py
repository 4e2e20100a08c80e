"""The journal's texts: secrets shortened, phone numbers masked, cut where they are too long."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mpesa_integrations.core.masking import mask_msisdn, mask_msisdns_in

TEXT_KEPT = 4_000
"""Characters of a text that are kept."""
_PARAMETERS_KEPT = 20
_SECRET_SHOWN = 6
_SECRET_NAME = re.compile(r"credential|key|token|password|secret|authori", re.IGNORECASE)


def shorten(secret: str) -> str:
    """The first characters of a secret: enough to tell two apart, too few to use."""
    return f"{secret[:_SECRET_SHOWN]}…" if secret else ""


def shorten_url(url: str) -> str:
    """A URL without its query, and with long parts of its path shortened: they are often secret."""
    parts = urlsplit(url)
    path = "/".join(shorten(part) if len(part) >= 16 else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{path}{'?…' if parts.query else ''}"


def shown_parameters(parameters: Mapping[str, Any]) -> str:
    """Parameters as JSON for people, with secrets shortened and phone numbers masked."""
    return json.dumps(
        {
            shown_text(name[:50]): _shown(name, value)
            for name, value in itertools.islice(parameters.items(), _PARAMETERS_KEPT)
        },
        indent=2,
        ensure_ascii=False,
    )


def shown_text(text: str) -> str:
    """Free text with phone numbers masked, cut where it is too long to keep."""
    return mask_msisdns_in(text[:TEXT_KEPT])


def shown_body(text: str) -> str:
    """An answer's body: as JSON for people where it is an object, as text otherwise."""
    try:
        fields = json.loads(text[:TEXT_KEPT])
    except (ValueError, RecursionError):
        return shown_text(text)
    return shown_parameters(fields) if isinstance(fields, dict) else shown_text(text)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return "…"  # no parameter is one, so nobody knows what is in it
    if not isinstance(value, str):
        return value
    if _SECRET_NAME.search(name):
        return shorten(value)
    return mask_msisdn(value) if name == "input_CustomerMSISDN" else shown_text(value)
