"""The live log: calls and callbacks as they happen."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request

from mpesa_integrations.simulator.calls import CallFilter
from mpesa_integrations.simulator.state import GatewayState

from .documentation import TITLES
from .reports import OUTCOMES

_SHOWN = 50


def add_pages(blueprint: Blueprint, gateway: GatewayState) -> None:
    """Add the live log."""

    def entries(after: int) -> str:
        calls = gateway.calls.select(CallFilter(after=after), limit=_SHOWN)
        return render_template(
            "_entries.html",
            calls=calls,
            after=max((call.id for call in calls), default=after),
            operations=TITLES,
            outcomes=OUTCOMES,
        )

    @blueprint.get("/log")
    def live_log() -> str:
        return render_template("log.html", entries=entries(0))

    @blueprint.get("/log/entries")
    def log_entries() -> str | Response:
        after = request.args.get("after", 0, type=int)
        if not gateway.calls.count(CallFilter(after=after)):
            return Response(status=204)
        return entries(after)
