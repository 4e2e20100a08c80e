"""The Request Box: a request as the developer edits it, sent to this gateway over real HTTPS."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from flask_babel import get_locale, gettext
from werkzeug.wrappers import Response as AnyResponse

from mpesa_integrations.core.client.transport import mask_numbers_in_urllib3s_log
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.markets.mozambique.codes import ResponseCode
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.protocol.authentication import encrypt_api_key
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.core.settings.client import DEFAULT_USER_AGENT
from mpesa_integrations.simulator.endpoints import DOCUMENTED_PORTS
from mpesa_integrations.simulator.masking import shorten, shown_parameters, shown_text
from mpesa_integrations.simulator.state import GatewayState

from .api_pages import address_of, latest_payment
from .documentation import TITLES, example_body
from .store import Store

_TIMEOUT = (5.0, 150.0)
_MOST_SHOWN = 20_000
# No dots and no escapes: what is checked here is what is called.
_PATH = re.compile(r"/ipg/[A-Za-z0-9/_-]{1,200}")
_FIELDS = ("method", "address", "port", "path", "origin", "bearer", "body")
_METHODS = ("GET", "POST", "PUT")


def add_pages(blueprint: Blueprint, gateway: GatewayState, store: Store) -> None:
    """Add the Request Box."""

    @blueprint.get("/request-box")
    def request_box() -> AnyResponse:
        return redirect(url_for("portal.request_box_of", name="c2b"))

    @blueprint.route("/request-box/<name>", methods=["GET", "POST"])
    def request_box_of(name: str) -> str:
        if name not in OPERATIONS:
            abort(404)
        form, sent = _prefilled(gateway, OPERATIONS[name]), None
        if request.method == "POST":
            form = {field: request.form.get(field, "").strip() for field in _FIELDS}
            sent = _send(gateway, form)
            if not sent["problem"]:
                store.keep_request(g.user, _for_history(sent))
        only_answer = request.method == "POST" and "HX-Request" in request.headers
        template = "_answer.html" if only_answer else "request_box.html"
        return render_template(
            template,
            name=name,
            titles=TITLES,
            operations=OPERATIONS,
            methods=_METHODS,
            form=form,
            sent=sent,
            history=store.sent_requests(g.user),
        )

    @blueprint.get("/request-box/history/<int:number>")
    def sent_request(number: int) -> str:
        found = next((kept for kept in store.sent_requests(g.user) if kept.id == number), None)
        if found is None:
            abort(404)
        template = "_answer.html" if "HX-Request" in request.headers else "sent_request.html"
        return render_template(template, sent=found.content, at=found.at)


def _prefilled(gateway: GatewayState, operation: Operation) -> dict[str, str]:
    host, port = address_of(gateway, operation)
    account = gateway.account
    body = example_body(operation, account, latest_payment(gateway))
    return {
        "method": operation.method,
        "address": host,
        "port": str(port),
        "path": operation.path,
        "origin": MOZAMBIQUE.origin,
        "bearer": encrypt_api_key(account.api_key, account.public_key),
        "body": json.dumps(body, indent=2),
    }


def _send(gateway: GatewayState, form: dict[str, str]) -> dict[str, Any]:
    """Send what the form says, and give what the answer's page shows."""
    parameters = _object_in(form["body"])
    sent: dict[str, Any] = {
        "request": f"{form['method']} https://{form['address']}:{form['port']}{form['path']}",
        "bearer": form["bearer"],
        "origin": form["origin"],
        "inputs": {name: _as_text(value) for name, value in (parameters or {}).items()},
        "body": form["body"] if parameters is None else "",
        "outputs": {},
        "text": "",
        "status": None,
        "meaning": "",
        "milliseconds": 0,
        "problem": str(_problem(gateway, form, parameters) or ""),
    }
    if sent["problem"]:
        return sent
    started = time.monotonic()
    try:
        status, text = _exchange(gateway, form, sent["inputs"])
    except requests.RequestException as error:
        sent["text"] = gettext(
            "The connection ended without an answer (%(kind)s).", kind=type(error).__name__
        )
        return sent
    outputs = _object_in(text) or {}
    code = str(outputs.get("output_ResponseCode") or outputs.get("output_ResultCode") or "")
    meaning = ResponseCode(code).meaning_in(str(get_locale())) if code else ""
    sent.update(
        status=status,
        milliseconds=round((time.monotonic() - started) * 1000),
        outputs={name: _as_text(value) for name, value in outputs.items()},
        text="" if outputs else text,
        meaning=f"{code}: {meaning}" if code else "",
    )
    return sent


def _problem(
    gateway: GatewayState, form: dict[str, str], parameters: dict[str, Any] | None
) -> object:
    """Why a request is not sent: this box calls this gateway's operations, and nothing else."""
    base = urlsplit(gateway.control_url)
    ports = {str(base.port), *(map(str, DOCUMENTED_PORTS) if gateway.documented_ports else ())}
    if form["address"] != base.hostname or form["port"] not in ports:
        return gettext(
            "The Request Box calls this gateway only: address %(host)s, port %(port)s.",
            host=base.hostname,
            port=", ".join(sorted(ports)),
        )
    if not _PATH.fullmatch(form["path"]) or form["method"] not in _METHODS:
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
    gateway: GatewayState, form: dict[str, str], inputs: dict[str, str]
) -> tuple[int, str]:
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
        return answer.status_code, answer.text[:_MOST_SHOWN]


def _object_in(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _for_history(sent: dict[str, Any]) -> dict[str, Any]:
    """What is kept: no whole token, number or credential."""
    return {
        **sent,
        "bearer": shorten(sent["bearer"]),
        "inputs": json.loads(shown_parameters(sent["inputs"])),
        "outputs": json.loads(shown_parameters(sent["outputs"])),
        "body": gettext("(no JSON object)") if sent["body"] else "",
        "text": shown_text(sent["text"]),
    }
