"""A JSON interface to a running local gateway, for tests and tools in other processes.

Under `/simulator/`, on the same HTTPS address, answered to this machine only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from .scenarios import SCENARIOS

if TYPE_CHECKING:
    from .server import Simulator

_QUEUE_FIELDS = {"name", "operation", "msisdn", "third_party_reference", "times", "delay"}


def control_blueprint(simulator: Simulator) -> Blueprint:
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
        return jsonify(simulator.ledger.export())

    @blueprint.get("/scenarios")
    def _scenarios() -> Response:
        return jsonify({name: row.description for name, row in SCENARIOS.items()})

    @blueprint.post("/scenarios")
    def _queue() -> Response | tuple[Response, int]:
        return _attempt(lambda: _queue_scenario(simulator, request.get_json()))

    @blueprint.delete("/scenarios")
    def _clear() -> Response | tuple[Response, int]:
        return _attempt(simulator.scenarios.clear)

    @blueprint.get("/response-url")
    def _response_url() -> Response:
        return jsonify({"url": simulator.response_url})

    @blueprint.put("/response-url")
    def _set_response_url() -> Response | tuple[Response, int]:
        return _attempt(lambda: _set_url(simulator, request.get_json()))

    @blueprint.get("/deliveries")
    def _deliveries() -> Response:
        return jsonify(
            [
                {**asdict(delivery), "at": delivery.at.isoformat()}
                for delivery in simulator.callbacks.deliveries
            ]
        )

    @blueprint.post("/renew-api-key")
    def _renew() -> Response | tuple[Response, int]:
        return _attempt(simulator.renew_api_key)

    @blueprint.post("/reset")
    def _reset() -> Response | tuple[Response, int]:
        return _attempt(simulator.reset)

    return blueprint


def _attempt(action: Callable[[], object]) -> Response | tuple[Response, int]:
    try:
        action()
    except (ValueError, TypeError) as error:
        return _problem(str(error), 400)
    return Response(status=204)


def _queue_scenario(simulator: Simulator, body: Any) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise ValueError(  # noqa: TRY004 - the caller's value, not our type
            'Send an object such as {"name": "cut_after", "operation": "c2b"}'
        )
    unknown = set(body) - _QUEUE_FIELDS
    if unknown:
        known = ", ".join(sorted(_QUEUE_FIELDS))
        raise ValueError(f"There is no {', '.join(sorted(unknown))}; there are {known}")
    simulator.scenarios.queue(**body)


def _set_url(simulator: Simulator, body: Any) -> None:
    url = body.get("url", 0) if isinstance(body, dict) else 0
    if url is not None and not isinstance(url, str):
        raise ValueError('Send {"url": "https://127.0.0.1:12000/…"}, or null to clear it')
    simulator.response_url = url


def _problem(text: str, status: int) -> tuple[Response, int]:
    return jsonify({"problem": text}), status
