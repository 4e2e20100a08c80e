"""The live log: calls and callbacks as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, render_template, request

from mpesa_integrations.simulator.calls import CallFilter

from .documentation import TITLES
from .reports import OUTCOMES

if TYPE_CHECKING:
    from mpesa_integrations.simulator.server import Simulator

_SHOWN = 50


def add_pages(blueprint: Blueprint, simulator: Simulator) -> None:
    """Add the live log."""

    def entries(after: int) -> str:
        calls = simulator.calls.select(CallFilter(after=after), limit=_SHOWN)
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
        if not simulator.calls.count(CallFilter(after=after)):
            return Response(status=204)
        return entries(after)
