"""A call of the journal in writing: as pages show it, as JSON, as a curl command, for a replay.

Phone numbers in it are whole or masked as in the pages of the request that asks for it.
"""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.protocol.authentication import encrypt_api_key
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import Call, Group
from mpesa_integrations.simulator.masking import as_text, masked, masked_body, shorten, shorten_url

from .people import shows_whole_numbers

_TELLING = ("at", "ended", "ended_code", "ended_at", "told_by", "seconds", "conversation_id")


def request_of(call: Call) -> dict[str, Any]:
    """What was sent: `method`, `url`, `headers` and `parameters`."""
    sent: dict[str, Any] = json.loads(call.sent) if call.sent else {}
    if not shows_whole_numbers() and "parameters" in sent:
        sent = {
            **sent,
            "headers": masked(sent["headers"]),
            "parameters": masked(sent["parameters"]),
        }
    return sent


def request_text(call: Call) -> str:
    """What was sent, as HTTP is written."""
    sent = request_of(call)
    if not sent:
        return ""
    headers = [f"{name}: {value}" for name, value in sent["headers"].items()]
    return "\n".join([f"{sent['method']} {sent['url']}", *headers, "", as_text(sent["parameters"])])


def answer_text(call: Call) -> str:
    """What was answered."""
    return call.answered if shows_whole_numbers() else masked_body(call.answered)


def group_as_json(group: Group) -> str:
    """A call with its callbacks, for a report of a bug or a test."""
    written = {
        **_as_dict(group.call),
        "callbacks": [_as_dict(callback) for callback in group.callbacks],
    }
    return json.dumps(written, indent=2, ensure_ascii=False, default=datetime.isoformat)


def as_curl(call: Call, account: AccountState) -> str:
    """A command that sends the same once more, with the account's own credentials."""
    sent = request_of(call)
    parameters = _with_credential(sent["parameters"], account)
    # Not where the caller said that it called: with the account's bearer nobody else is called.
    url = f"{account.control_url}{urlsplit(sent['url']).path}"
    verify = ["--cacert", account.account.ca_file]
    if call.kind == "callback":
        # The journal has no more of the URL than its owner needs to know it by.
        here = account.response_url or ""
        url = here if shorten_url(here) == sent["url"] else sent["url"]
        verify = ["--insecure"]
    headers = {**sent["headers"], **_authorization(call, account)}
    command = ["curl", "--silent", "--show-error", *verify, "--request", sent["method"]]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    if sent["method"] == "GET":
        command.append("--get")
        for name, value in parameters.items():
            command += ["--data-urlencode", f"{name}={value}"]
    else:
        command += ["--data", json.dumps(parameters, ensure_ascii=False)]
    return shlex.join([*command, url])


def to_send_again(call: Call, account: AccountState) -> dict[str, Any]:
    """A call's parameters for another request: with a third-party reference of its own."""
    parameters = _with_credential(request_of(call).get("parameters", {}), account)
    if "input_ThirdPartyReference" in parameters:
        parameters["input_ThirdPartyReference"] = new_third_party_reference()
    return parameters


def _authorization(call: Call, account: AccountState) -> dict[str, str]:
    """A bearer that works; but a call whose bearer did not is told as it was."""
    if call.kind == "callback" or call.code == "INS-2":
        return {}
    known = account.account
    return {"Authorization": f"Bearer {encrypt_api_key(known.api_key, known.public_key)}"}


def _with_credential(parameters: dict[str, Any], account: AccountState) -> dict[str, Any]:
    """Parameters with the security credential whole again, if it was the account's."""
    own = account.account.security_credential
    return {
        name: own if name == "input_SecurityCredential" and value == shorten(own) else value
        for name, value in parameters.items()
    }


def _as_dict(call: Call) -> dict[str, Any]:
    told = {name: getattr(call, name) for name in _TELLING if call.kind == "call" or name == "at"}
    if call.kind == "callback":
        told |= {"attempt": call.attempt, "attempts": call.attempts, "problem": call.problem}
    answer = answer_text(call)
    try:
        answered: Any = json.loads(answer)
    except ValueError:
        answered = answer
    return {
        "operation": call.operation,
        **told,
        "request": request_of(call),
        "http_status": call.http_status,
        "answer": answered,
    }
