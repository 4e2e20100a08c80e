"""A JSON interface to a running local gateway, for tests and tools in other processes.

Under `/simulator/`, on the same HTTPS address, answered to this machine only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .phones import Prompt
from .scenarios import SCENARIOS
from .state import GatewayState

_QUEUE_FIELDS = {"name", "operation", "msisdn", "third_party_reference", "times", "delay"}


def control_blueprint(gateway: GatewayState) -> Blueprint:
    """Make the control interface's routes."""
    blueprint = Blueprint("control", __name__, url_prefix="/simulator")

    @blueprint.before_request
    def _refuse_strangers() -> Response | tuple[Response, int] | None:
        if not ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104
            return _problem("The control interface answers this machine only", 403)
        # A web page that the developer has open can post forms here, but no JSON.
        if request.method in ("POST", "PUT", "DELETE") and not request.is_json:
            return _problem("Send JSON, with Content-Type: application/json", 415)
        return None

    @blueprint.get("/ledger")
    def _ledger() -> Response:
        return jsonify(gateway.ledger.export())

    @blueprint.get("/scenarios")
    def _scenarios() -> Response:
        return jsonify({name: row.description for name, row in SCENARIOS.items()})

    @blueprint.post("/scenarios")
    def _queue() -> Response | tuple[Response, int]:
        return _attempt(lambda: _queue_scenario(gateway, request.get_json()))

    @blueprint.delete("/scenarios")
    def _clear() -> Response | tuple[Response, int]:
        return _attempt(gateway.scenarios.clear)

    @blueprint.get("/response-url")
    def _response_url() -> Response:
        return jsonify({"url": gateway.response_url})

    @blueprint.put("/response-url")
    def _set_response_url() -> Response | tuple[Response, int]:
        return _attempt(lambda: _set_url(gateway, request.get_json()))

    @blueprint.get("/deliveries")
    def _deliveries() -> Response:
        return jsonify(
            [
                {**asdict(delivery), "at": delivery.at.isoformat()}
                for delivery in gateway.callbacks.deliveries
            ]
        )

    @blueprint.get("/prompts")
    def _prompts() -> Response:
        return jsonify(
            {
                "auto_approve": gateway.auto_approve,
                "waiting": [_exported(prompt) for prompt in gateway.phones.waiting],
            }
        )

    @blueprint.post("/prompts/<conversation_id>")
    def _answer_prompt(conversation_id: str) -> Response | tuple[Response, int]:
        return _attempt(lambda: _decide(gateway, conversation_id, request.get_json()))

    @blueprint.put("/auto-approve")
    def _set_auto_approve() -> Response | tuple[Response, int]:
        return _attempt(lambda: _switch_approval(gateway, request.get_json()))

    @blueprint.post("/renew-api-key")
    def _renew() -> Response | tuple[Response, int]:
        return _attempt(gateway.renew_api_key)

    @blueprint.post("/reset")
    def _reset() -> Response | tuple[Response, int]:
        return _attempt(gateway.reset)

    return blueprint


def _attempt(action: Callable[[], object]) -> Response | tuple[Response, int]:
    try:
        action()
    except (ValueError, TypeError, LookupError) as error:
        return _problem(str(error), 400)
    return Response(status=204)


def _queue_scenario(gateway: GatewayState, body: Any) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise ValueError(  # noqa: TRY004 - the caller's value, not our type
            'Send an object such as {"name": "cut_after", "operation": "c2b"}'
        )
    unknown = set(body) - _QUEUE_FIELDS
    if unknown:
        known = ", ".join(sorted(_QUEUE_FIELDS))
        raise ValueError(f"There is no {', '.join(sorted(unknown))}; there are {known}")
    gateway.scenarios.queue(**body)


def _set_url(gateway: GatewayState, body: Any) -> None:
    url = body.get("url", 0) if isinstance(body, dict) else 0
    if url is not None and not isinstance(url, str):
        raise ValueError('Send {"url": "https://127.0.0.1:12000/…"}, or null to clear it')
    gateway.response_url = url


def _switch_approval(gateway: GatewayState, body: Any) -> None:
    value = body.get("auto_approve") if isinstance(body, dict) else None
    if not isinstance(value, bool):
        raise ValueError('Send {"auto_approve": false}, or true')  # noqa: TRY004 - as above
    gateway.auto_approve = value


def _decide(gateway: GatewayState, conversation_id: str, body: Any) -> None:
    decision = body.get("decision") if isinstance(body, dict) else None
    if decision not in ("approve", "refuse"):
        raise ValueError('Send {"decision": "approve"}, or "refuse"')
    answer = gateway.phones.approve if decision == "approve" else gateway.phones.refuse
    answer(conversation_id)


def _exported(prompt: Prompt) -> dict[str, str | None]:
    transaction = prompt.transaction
    return {
        "conversation_id": transaction.conversation_id,
        "third_party_reference": transaction.third_party_reference,
        "transaction_reference": transaction.transaction_reference,
        "msisdn": transaction.msisdn,
        "amount": f"{transaction.amount:.2f}",
        "expires_at": prompt.expires_at.isoformat(),
    }


def _problem(text: str, status: int) -> tuple[Response, int]:
    return jsonify({"problem": text}), status
