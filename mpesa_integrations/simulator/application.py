"""The gateway's faces as one WSGI application: operations, control interface, portal."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, request

from .control import control_blueprint
from .endpoints import PREFIX
from .exchange import Request
from .gateway import answer_call
from .portal.blueprint import install_portal
from .portal.store import Store
from .state import GatewayState

CUT = "mpesa.cut"
"""The WSGI environment's key by which an answer asks the server to cut the connection instead."""
_MAX_REQUEST_BODY = 1024 * 1024


def make_application(gateway: GatewayState, portal: Store) -> Flask:
    """Put the faces of a gateway together.

    Args:
        portal: what the portal keeps.
    """
    app = Flask("mpesa_integrations.simulator", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_REQUEST_BODY
    app.register_blueprint(_operations_blueprint(gateway))
    app.register_blueprint(control_blueprint(gateway))
    install_portal(app, gateway, portal)
    return app


def _operations_blueprint(gateway: GatewayState) -> Blueprint:
    """The operations' route: all that comes under their prefix is theirs to answer."""
    blueprint = Blueprint("gateway", __name__)

    @blueprint.route(
        f"{PREFIX}<path:_rest>",
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        # Flask would answer OPTIONS on its own.
        provide_automatic_options=False,
    )
    def operation(_rest: str) -> Response:
        answer = answer_call(gateway, _request())
        request.environ[CUT] = answer.cut
        response = Response(answer.body, answer.status, content_type=answer.content_type)
        if answer.location:
            response.headers["Location"] = answer.location
        return response

    return blueprint


def _request() -> Request:
    """The request under way, as the operations take it."""
    return Request(
        method=request.method,
        address=request.host_url.rstrip("/"),
        port=int(request.environ["SERVER_PORT"]),
        path=request.path,
        query=request.args.to_dict(),
        headers={name.lower(): value for name, value in request.headers},
        body=request.get_data(),
    )
