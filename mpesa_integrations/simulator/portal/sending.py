"""One request of the Request Box: checked, sent over real HTTPS, and read as the library would."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from flask_babel import gettext

from mpesa_integrations.core.client.transport import mask_numbers_in_urllib3s_log
from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.answers import read_answer
from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.core.settings.client import DEFAULT_USER_AGENT
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.endpoints import DOCUMENTED_PORTS, find_endpoint
from mpesa_integrations.simulator.masking import (
    TEXT_KEPT,
    masked,
    masked_body,
    object_in,
    shorten,
    without_secrets,
)

from .people import shows_whole_numbers
from .prefilled import METHODS
from .verdicts import NO_OPERATION

_TIMEOUT = (5.0, 150.0)
_MOST_SHOWN = 20_000
_MOST_READ = 1024 * 1024
_NOT_FOUND = (404, 405)
"""What the gateway answers where there is no operation; it is asked nothing else there."""
# No dots and no escapes: what is checked here is what is called.
_PATH = re.compile(r"/ipg/[A-Za-z0-9/_-]{1,200}")
_REFERENCE = re.compile(r'("input_ThirdPartyReference"\s*:\s*)"[^"\\]*"')


def send(gateway: AccountState, operation: Operation, form: dict[str, str]) -> dict[str, Any]:
    """Send what a form says, and give what the page of its answer shows.

    Args:
        operation: what the form was filled in for; another one is called if its path says so.
        form: a text for each of its fields.
    """
    parameters = object_in(form["body"])
    sent: dict[str, Any] = {
        "operation": _called(form, operation).name,
        "request": f"{form['method']} https://{form['address']}:{form['port']}{form['path']}",
        "bearer": form["bearer"],
        "origin": form["origin"],
        "inputs": {name: _as_text(value) for name, value in (parameters or {}).items()},
        "body": form["body"] if parameters is None else "",
        "outputs": {},
        "text": "",
        "status": None,
        "code": "",
        "kind": Kind.UNKNOWN.value,
        "transaction_status": "",
        "conversation_id": "",
        "milliseconds": 0,
        "problem": str(_problem(gateway, form, parameters) or ""),
    }
    if sent["problem"]:
        return sent
    started = time.monotonic()
    try:
        status, body = _exchange(gateway, form, sent["inputs"])
    except requests.RequestException as error:
        sent["text"] = gettext(
            "The connection ended without an answer (%(kind)s).", kind=type(error).__name__
        )
        return sent
    sent["milliseconds"] = round((time.monotonic() - started) * 1000)
    return {**sent, **_read(OPERATIONS[sent["operation"]], status, body, sent["inputs"])}


def with_reference(body: str, reference: str) -> str:
    """Parameters as they were typed, but with another third-party reference."""
    return _REFERENCE.sub(rf'\g<1>"{reference}"', body)


def _called(form: dict[str, str], operation: Operation) -> Operation:
    found = find_endpoint(form["path"])
    return OPERATIONS[found.operation] if found else operation


def _read(operation: Operation, status: int, body: bytes, inputs: dict[str, str]) -> dict[str, Any]:
    """What an answer says, and what that proves."""
    text = body.decode("utf-8", "replace")[:_MOST_SHOWN]
    outputs = object_in(text) or {}
    said: dict[str, Any] = {
        "status": status,
        "outputs": {name: _as_text(value) for name, value in outputs.items()},
        "text": "" if outputs else text,
    }
    if status in _NOT_FOUND:
        return {**said, "kind": NO_OPERATION}
    result = read_answer(
        operation,
        ResponseCode,
        http_status=status,
        body=body[:_MOST_READ],
        third_party_reference=inputs.get("input_ThirdPartyReference"),
    )
    return {
        **said,
        "code": result.code.value if result.code else "",
        "kind": result.kind.value,
        "transaction_status": str(getattr(result, "transaction_status", None) or ""),
        "conversation_id": result.conversation_id or "",
    }


def _problem(
    gateway: AccountState, form: dict[str, str], parameters: dict[str, Any] | None
) -> object:
    """Why a request is not sent: this box calls this gateway's operations, and nothing else."""
    base = urlsplit(gateway.control_url)
    ports = {
        str(base.port),
        *(map(str, DOCUMENTED_PORTS) if gateway.addresses.documented_ports else ()),
    }
    if form["address"] != base.hostname or form["port"] not in ports:
        return gettext(
            "The Request Box calls this gateway only: address %(host)s, port %(port)s.",
            host=base.hostname,
            port=", ".join(sorted(ports)),
        )
    if not _PATH.fullmatch(form["path"]) or form["method"] not in METHODS:
        return gettext("The path must begin with /ipg/ and have letters, digits and slashes only.")
    if form["method"] == "GET" and parameters is None:
        return gettext(
            "The parameters must be a JSON object: a GET request carries them in its address."
        )
    for value in (form["bearer"], form["origin"]):
        if not value.isascii() or not value.isprintable():
            return gettext("The bearer and the origin must be plain text on one line.")
    return None


def _exchange(
    gateway: AccountState, form: dict[str, str], inputs: dict[str, str]
) -> tuple[int, bytes]:
    headers = {
        "Content-Type": "application/json",
        "Origin": form["origin"],
        "User-Agent": DEFAULT_USER_AGENT,
    }
    if form["bearer"]:
        headers["Authorization"] = f"Bearer {form['bearer']}"
    is_get = form["method"] == "GET"
    mask_numbers_in_urllib3s_log()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            form["method"],
            f"{gateway.control_url.rpartition(':')[0]}:{form['port']}{form['path']}",
            headers=headers,
            params=inputs if is_get else None,
            data=None if is_get else form["body"].encode(),
            verify=gateway.account.ca_file,
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        return answer.status_code, answer.content


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def for_history(sent: dict[str, Any]) -> dict[str, Any]:
    """What is kept: no whole token or credential."""
    return {
        **sent,
        "bearer": shorten(sent["bearer"]),
        "inputs": without_secrets(sent["inputs"]),
        "outputs": without_secrets(sent["outputs"]),
        "body": gettext("(no JSON object)") if sent["body"] else "",
        "text": sent["text"][:TEXT_KEPT],
    }


def from_history(kept: dict[str, Any]) -> dict[str, Any]:
    """What is shown of what was kept, with phone numbers whole or masked as in the pages."""
    if shows_whole_numbers():
        return kept
    return {
        **kept,
        "inputs": masked(kept["inputs"]),
        "outputs": masked(kept["outputs"]),
        "text": masked_body(kept["text"]),
    }
