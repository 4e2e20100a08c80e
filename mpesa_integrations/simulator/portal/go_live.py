"""Go live: what to do, and the file for M-Pesa's staff: account details and transaction report.

The file leaves the house: no key, credential or token is in it, and customers' numbers are masked.
"""

from __future__ import annotations

import io
import zipfile
from datetime import datetime, timezone

from flask import Blueprint, Response, g, render_template
from flask_babel import gettext

from mpesa_integrations.core.masking import mask_msisdn, mask_msisdns_in
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.masking import shorten_url
from mpesa_integrations.simulator.transactions import Transaction

from .csv_files import as_csv
from .customers import PAYMENTS, STATUSES
from .documentation import TITLES

FILE_NAME = "mpesa-go-live.zip"
_PRINTED = 500
_COLUMNS = (
    "created_at", "operation", "status", "code", "amount", "reversed_amount", "msisdn",
    "transaction_reference", "third_party_reference", "conversation_id", "transaction_id",
    "original_transaction_id", "settled_at",
)  # fmt: skip


def add_pages(blueprint: Blueprint, gateway: AccountState) -> None:
    """Add the Go live page and its download."""

    @blueprint.get("/go-live")
    def go_live() -> str:
        tried = gateway.ledger.tally()
        operations = {operation for operation, *_ in tried}
        return render_template(
            "go_live.html",
            details=_details(gateway),
            tried=tried,
            untried=[name for name in PAYMENTS if name not in operations],
            file_name=FILE_NAME,
            operations=TITLES,
            statuses=STATUSES,
        )

    @blueprint.get(f"/{FILE_NAME}")
    def go_live_file() -> Response:
        transactions = gateway.ledger.transactions()
        details = _details(gateway)
        now = datetime.now(timezone.utc)
        report = render_template(
            "go_live_report.html",
            details=details,
            tried=gateway.ledger.tally(),
            latest=transactions[-_PRINTED:][::-1],
            total=len(transactions),
            now=now,
            operations=TITLES,
            statuses=STATUSES,
            masked_text=mask_msisdns_in,
            masked=mask_msisdn,
        )
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("account.csv", as_csv(("detail", "value"), details.items()))
            file.writestr("transactions.csv", as_csv(_COLUMNS, map(_row, transactions)))
            file.writestr("report.html", report)
        return Response(
            packed.getvalue(),
            content_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{FILE_NAME}"'},
        )


def _details(gateway: AccountState) -> dict[str, str]:
    """What M-Pesa's staff have to know of the developer: names to values, nothing secret."""
    user = g.user
    url = gateway.response_url
    return {
        gettext("Name"): user.name,
        gettext("Company"): user.company,
        gettext("E-mail"): user.email,
        gettext("Mobile number"): user.phone,
        gettext("User name"): user.user_name,
        gettext("Shortcode of these tests"): gateway.service_provider_code,
        gettext("Initiator identifier of these tests"): gateway.credentials.initiator_identifier,
        gettext("Asynchronous Response URL of these tests"): shorten_url(url) if url else "",
    }


def _row(transaction: Transaction) -> list[str]:
    values = transaction.as_json()
    if transaction.msisdn:
        values["msisdn"] = mask_msisdn(transaction.msisdn)
    for name in ("transaction_reference", "third_party_reference"):
        values[name] = mask_msisdns_in(values[name] or "")
    return [str(values[name] or "") for name in _COLUMNS]
