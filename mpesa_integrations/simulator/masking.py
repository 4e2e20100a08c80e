"""The journal's texts: secrets shortened and long ones cut; phone numbers masked where shown so."""

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
_VALUE_KEPT = 500
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


def without_secrets(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the journal keeps them: secrets shortened, long texts cut."""
    return {
        name[:50]: _without_secret(name, value)
        for name, value in itertools.islice(parameters.items(), _PARAMETERS_KEPT)
    }


def masked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with the phone numbers in them masked."""
    return {mask_msisdns_in(name): _masked(name, value) for name, value in parameters.items()}


def as_text(parameters: Mapping[str, Any]) -> str:
    """Parameters as JSON for people."""
    return json.dumps(parameters, indent=2, ensure_ascii=False)


def body_without_secrets(text: str) -> str:
    """An answer's body as the journal keeps it: as JSON for people where it is an object."""
    fields = object_in(text[:TEXT_KEPT])
    return text[:TEXT_KEPT] if fields is None else as_text(without_secrets(fields))


def masked_body(text: str) -> str:
    """A body, as JSON or as text, with the phone numbers in it masked."""
    fields = object_in(text)
    return mask_msisdns_in(text) if fields is None else as_text(masked(fields))


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _without_secret(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return "…"  # no parameter is one, so nobody knows what is in it
    if not isinstance(value, str):
        return value
    return shorten(value) if _SECRET_NAME.search(name) else value[:_VALUE_KEPT]


def _masked(name: str, value: Any) -> Any:
    text = str(value)
    shown = mask_msisdn(text) if name == "input_CustomerMSISDN" else mask_msisdns_in(text)
    return value if shown == text else shown
