"""Reports: how the calls did over a period, as a table, as a chart and as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.simulator.calls import Call, CallFilter, Tally
from mpesa_integrations.simulator.state import GatewayState

from .documentation import TITLES

PERIODS = {
    "hour": (_("Last hour"), timedelta(hours=1), timedelta(minutes=2)),
    "day": (_("Last 24 hours"), timedelta(days=1), timedelta(hours=1)),
    "week": (_("Last 7 days"), timedelta(days=7), timedelta(hours=6)),
    "month": (_("Last 30 days"), timedelta(days=30), timedelta(days=1)),
}
OUTCOMES = {
    Kind.SUCCESS.value: _("Success"),
    Kind.ACCEPTED.value: _("Accepted"),
    Kind.FAILED.value: _("Failed"),
    Kind.CANCELLED.value: _("Cancelled"),
    Kind.DUPLICATE.value: _("Duplicate"),
    Kind.VALIDATION.value: _("Refused"),
    Kind.AUTHENTICATION.value: _("Not authorised"),
    Kind.NOT_ACCEPTED.value: _("Not accepted"),
    Kind.UNKNOWN.value: _("Unknown"),
}
_PER_PAGE = 50
_SERIES = {"outcome": _("Outcome"), "operation": _("Operation"), "code": _("Code")}
_COLUMNS = (
    ("at", _("Time (UTC)")),
    ("operation", _("Operation")),
    ("code", _("Code")),
    ("outcome", _("Outcome")),
    ("http_status", "HTTP"),
    ("seconds", _("Took")),
    ("amount", _("Amount")),
)
_CSV_COLUMNS = (
    "at", "operation", "code", "outcome", "http_status", "seconds", "msisdn", "amount",
    "transaction_reference", "third_party_reference", "problem",
)  # fmt: skip


def add_pages(blueprint: Blueprint, gateway: GatewayState) -> None:
    """Add the Reports."""

    @blueprint.get("/reports")
    def reports() -> str:
        period = request.args.get("period", "day")
        period = period if period in PERIODS else "day"
        now = datetime.now(timezone.utc)
        wanted = _wanted(period, now)
        sort, descending = _sorting()
        page = max(1, request.args.get("page", 1, type=int))
        calls = gateway.calls
        tally = calls.tally(wanted)
        by = request.args.get("by", "outcome")
        by = by if by in _SERIES else "outcome"
        return render_template(
            "reports.html",
            period=period,
            periods=PERIODS,
            wanted=wanted,
            sort=sort,
            descending=descending,
            columns=_COLUMNS,
            operations=TITLES,
            outcomes=OUTCOMES,
            codes=[(code, code) for code in calls.values("code")],
            calls=calls.select(
                wanted,
                sort=sort,
                descending=descending,
                limit=_PER_PAGE,
                offset=(page - 1) * _PER_PAGE,
            ),
            total=len(tally),
            page=page,
            pages=max(1, -(-len(tally) // _PER_PAGE)),
            summary=sorted(Counter(row[1:] for row in tally).items()),
            series=_SERIES,
            by=by,
            chart=_chart(tally, by, period, now),
            arguments=_kept_arguments,
        )

    @blueprint.get("/reports.csv")
    def reports_csv() -> Response:
        period = request.args.get("period", "day")
        wanted = _wanted(period if period in PERIODS else "day", datetime.now(timezone.utc))
        sort, descending = _sorting()
        rows = gateway.calls.select(wanted, sort=sort, descending=descending)
        return Response(
            _as_csv(rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="mpesa-calls.csv"'},
        )

    @blueprint.get("/reports/<int:number>")
    def report(number: int) -> str:
        call = gateway.calls.find(number)
        if call is None:
            abort(404)
        return render_template("call.html", call=call, operations=TITLES, outcomes=OUTCOMES)


def _wanted(period: str, now: datetime) -> CallFilter:
    return CallFilter(
        kind="call",
        operation=request.args.get("operation", ""),
        code=request.args.get("code", ""),
        outcome=request.args.get("outcome", ""),
        since=now - PERIODS[period][1],
    )


def _sorting() -> tuple[str, bool]:
    sort = request.args.get("sort", "at")
    sort = sort if sort in dict(_COLUMNS) else "at"
    return sort, request.args.get("order", "down") != "up"


def _kept_arguments(**changes: Any) -> dict[str, Any]:
    """The address's arguments with some changes, for links that keep the others."""
    kept = {
        name: request.args[name]
        for name in ("period", "operation", "code", "outcome", "by", "sort", "order")
        if request.args.get(name)
    }
    return {**kept, **changes}


def _chart(calls: Iterable[Tally], by: str, period: str, now: datetime) -> dict[str, Any]:
    """Counts per stretch of time, in a series for each value of `by`, as the page draws them."""
    _title, length, step = PERIODS[period]
    number = length // step
    begin = now - length
    counts: dict[str, list[int]] = {}
    names = {"outcome": OUTCOMES, "operation": TITLES}.get(by, {})
    for call in calls:
        index = min(number - 1, max(0, (call.at - begin) // step))
        counts.setdefault(getattr(call, by), [0] * number)[index] += 1
    form = "%H:%M" if length <= timedelta(days=1) else "%d/%m %H:%M"
    return {
        "labels": [(begin + step * index).strftime(form) for index in range(number)],
        "series": [
            {"name": str(names.get(key, key or "–")), "key": key, "counts": row}
            for key, row in sorted(counts.items())
        ],
        "axis": gettext("Calls"),
    }


def _as_csv(calls: Iterable[Call]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_CSV_COLUMNS)
    for call in calls:
        values = [getattr(call, column) for column in _CSV_COLUMNS]
        writer.writerow([call.at.isoformat(), *(_cell(value) for value in values[1:])])
    return text.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    # A spreadsheet would calculate a caller's text that begins like this.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
