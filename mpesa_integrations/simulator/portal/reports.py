"""Reports: how calls were answered and payments ended in a period; a table, a chart, and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _

from mpesa_integrations.core.protocol.codes import Kind
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.calls import Call, CallFilter, Ending, Tally, ToldBy

from .csv_files import as_csv
from .documentation import TITLES
from .people import shown_number, shown_reference
from .periods import LAST, Period, PeriodProblem, read_period

OUTCOMES: dict[str, LazyString] = {
    Ending.COMPLETED.value: _("Success"),
    Ending.PENDING.value: _("Pending"),
    Ending.FAILED.value: _("Failed"),
    Ending.CANCELLED.value: _("Cancelled"),
    Ending.EXPIRED.value: _("Expired"),
    Ending.REVERSED.value: _("Given back"),
    Ending.PARTLY_REVERSED.value: _("Partly given back"),
    Ending.NEVER_IN.value: _("Never got in"),
    Kind.ACCEPTED.value: _("Accepted"),
    Kind.DUPLICATE.value: _("Duplicate"),
    Kind.VALIDATION.value: _("Refused"),
    Kind.AUTHENTICATION.value: _("Not authorised"),
    Kind.NOT_ACCEPTED.value: _("Not accepted"),
    Kind.UNKNOWN.value: _("Unknown"),
}
TOLD_BY: dict[str, LazyString] = {
    ToldBy.ANSWER.value: _("Answer"),
    ToldBy.CALLBACK.value: _("Callback"),
    ToldBy.STATUS_QUERY.value: _("Status query"),
    ToldBy.GIVEN_UP.value: _("Nothing: callback given up"),
    ToldBy.NOTHING.value: _("Nothing yet"),
}
_PER_PAGE = 50
_SERIES = {"ended": _("Outcome"), "operation": _("Operation"), "code": _("Code")}
_COLUMNS = (
    ("at", _("Time (UTC)")),
    ("operation", _("Operation")),
    ("code", _("Answered")),
    ("ended", _("Ended")),
    ("told_by", _("Told by")),
    ("seconds", _("Took")),
    ("amount", _("Amount")),
)
_CSV_COLUMNS = (
    "at", "operation", "code", "outcome", "http_status", "seconds", "ended", "ended_code",
    "ended_at", "told_by", "msisdn", "amount", "transaction_reference", "third_party_reference",
    "conversation_id", "problem",
)  # fmt: skip


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
    """Add the Reports."""

    @blueprint.get("/reports")
    def reports() -> str | tuple[str, int]:
        now = datetime.now(timezone.utc)
        problem = ""
        try:
            period = read_period(request.args, now)
        except PeriodProblem as error:
            problem, period = str(error), read_period({}, now)
        everything, wanted = _everything_in(period), _wanted(period)
        sort, descending = _sorting()
        calls = gateway.calls
        in_period = calls.tally(everything)
        if problem:
            tally = []
        elif wanted == everything:
            tally = in_period
        else:
            tally = calls.tally(wanted)
        pages = max(1, -(-len(tally) // _PER_PAGE))
        page = min(pages, max(1, request.args.get("page", 1, type=int)))
        by = request.args.get("by", "ended")
        by = by if by in _SERIES else "ended"
        shown = render_template(
            "reports.html",
            period=period,
            problem=problem,
            last=LAST,
            wanted=wanted,
            sort=sort,
            descending=descending,
            columns=_COLUMNS,
            operations=TITLES,
            outcomes=OUTCOMES,
            told_by=TOLD_BY,
            choices=_choices(in_period, wanted),
            calls=[]
            if problem
            else calls.select(
                wanted,
                sort=sort,
                descending=descending,
                limit=_PER_PAGE,
                offset=(page - 1) * _PER_PAGE,
            ),
            total=len(tally),
            page=page,
            pages=pages,
            summary=_summary(tally),
            series=_SERIES,
            by=by,
            chart=_chart(tally, by, period),
            arguments=_kept_arguments,
        )
        return (shown, 400) if problem else shown

    @blueprint.get("/reports.csv")
    def reports_csv() -> Response:
        try:
            period = read_period(request.args, datetime.now(timezone.utc))
        except PeriodProblem:
            abort(400)
        sort, descending = _sorting()
        rows = gateway.calls.select(_wanted(period), sort=sort, descending=descending)
        return Response(
            as_csv(_CSV_COLUMNS, ([_cell(row, name) for name in _CSV_COLUMNS] for row in rows)),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="mpesa-calls.csv"'},
        )

    @blueprint.get("/reports/<int:number>")
    def report(number: int) -> str:
        call = call_or_404(gateway, number)
        together: list[Call] = []
        if call.conversation_id:
            same = CallFilter(conversation_id=call.conversation_id)
            together = gateway.calls.select(same, descending=False)
        return render_template(
            "call.html",
            call=call,
            together=together,
            waits_for_pin=gateway.phones.is_asked(call.conversation_id),
            can_be_sent_again=_can_be_sent_again(gateway, call),
            operations=TITLES,
            outcomes=OUTCOMES,
            told_by=TOLD_BY,
        )


def call_or_404(gateway: AccountState, number: int) -> Call:
    """A call of the journal by its ID; where there is none, the page that says so."""
    call = gateway.calls.find(number)
    if call is None:
        abort(404)
    return call


def _can_be_sent_again(gateway: AccountState, call: Call) -> bool:
    has_result = call.kind == "callback" and gateway.ledger.find(call.conversation_id) is not None
    return has_result and gateway.response_url is not None


def _everything_in(period: Period) -> CallFilter:
    return CallFilter(kind="call", since=period.begin, until=period.end)


def _wanted(period: Period) -> CallFilter:
    return CallFilter(
        kind="call",
        operation=request.args.get("operation", ""),
        code=request.args.get("code", ""),
        ended=request.args.get("ended", ""),
        since=period.begin,
        until=period.end,
    )


def _choices(calls: list[Tally], wanted: CallFilter) -> dict[str, list[tuple[str, str]]]:
    """What each filter offers: what there is in the period, and what is chosen."""
    operations = {call.operation for call in calls} | {wanted.operation}
    codes = {code for call in calls for code in (call.code, call.answered_code)} | {wanted.code}
    endings = {call.ended for call in calls} | {wanted.ended}
    return {
        "operation": [(key, str(name)) for key, name in TITLES.items() if key in operations],
        "code": [(code, code) for code in sorted(codes, key=_by_number) if code],
        "ended": [(key, str(name)) for key, name in OUTCOMES.items() if key in endings],
    }


def _by_number(code: str) -> tuple[int, str]:
    number = code.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0, code)


def _sorting() -> tuple[str, bool]:
    sort = request.args.get("sort", "at")
    sort = sort if sort in dict(_COLUMNS) else "at"
    return sort, request.args.get("order", "down") != "up"


def _kept_arguments(**changes: Any) -> dict[str, Any]:
    """The address's arguments with some changes, for links that keep the others."""
    names = ("period", "from", "to", "operation", "code", "ended", "by", "sort", "order")
    kept = {name: request.args[name] for name in names if request.args.get(name)}
    return {**kept, **changes}


def _summary(calls: Iterable[Tally]) -> list[tuple[str, str, str, int, Decimal]]:
    """Of each operation, outcome and code, how many calls and how much money they are about."""
    found: dict[tuple[str, str, str], tuple[int, Decimal]] = {}
    for call in calls:
        key = (call.operation, call.ended, call.code)
        count, total = found.get(key, (0, Decimal(0)))
        found[key] = (count + 1, total + (call.amount or 0))
    return [(*key, *found[key]) for key in sorted(found)]


def _chart(calls: Iterable[Tally], by: str, period: Period) -> dict[str, Any]:
    """Counts per stretch of time, in a series for each value of `by`, as the page draws them."""
    bars, step = period.bars, period.step
    counts: dict[str, list[int]] = {}
    names = {"ended": OUTCOMES, "operation": TITLES}.get(by, {})
    for call in calls:
        index = (call.at - bars[0]) // step
        counts.setdefault(getattr(call, by), [0] * len(bars))[min(index, len(bars) - 1)] += 1
    return {
        "labels": [at.strftime(period.bar_form) for at in bars],
        "series": [
            {"name": str(names.get(key, key or "–")), "key": key, "counts": row}
            for key, row in sorted(counts.items())
        ],
        "axis": gettext("Calls"),
    }


def _cell(call: Call, column: str) -> str:
    value: Any = getattr(call, column)
    if isinstance(value, datetime):
        return value.isoformat()
    if column == "msisdn":
        value = shown_number(value)
    elif column.endswith("_reference"):
        value = shown_reference(value)
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
