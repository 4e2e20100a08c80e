"""The export of payments as CSV: what the list's filters and search find, or the chosen rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import chain
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern
from django.utils import dateformat, timezone
from django.utils.formats import get_format
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments.listings import csv_lines, exported_text

from ..paid_for import texts_of
from ..times import aware, local_now
from .pages import PaymentPages

EXPORT_BATCH = 2_000
# Each heading with the column that it is of.
_EXPORTED = {
    gettext_noop("pk"): "pk",
    gettext_noop("created_at"): "created_at",
    gettext_noop("updated_at"): "updated_at",
    gettext_noop("account"): "account",
    gettext_noop("operation"): "operation",
    gettext_noop("state"): "state",
    gettext_noop("amount"): "amount",
    gettext_noop("reversed_amount"): "reversed_amount",
    gettext_noop("currency"): "currency",
    gettext_noop("msisdn"): "msisdn",
    gettext_noop("receiver_shortcode"): "receiver_shortcode",
    gettext_noop("reference"): "reference",
    gettext_noop("order"): "order_key",
    gettext_noop("paid_for"): "object_id",
    gettext_noop("third_party_reference"): "third_party_reference",
    gettext_noop("conversation_id"): "conversation_id",
    gettext_noop("transaction_id"): "transaction_id",
    gettext_noop("original_reference"): "original__third_party_reference",
    gettext_noop("original_transaction_id"): "original__transaction_id",
    gettext_noop("response_code"): "response_code",
    gettext_noop("response_description"): "response_description",
    gettext_noop("conflict"): "conflict",
}


class PaymentExport(PaymentPages):
    """*Export as CSV*."""

    def get_urls(self) -> list[URLPattern]:
        """Add the export."""
        return [self._page("export/", self.export_view, "export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse | HttpResponse:
        """Stream what the list's filters and search find, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._url("changelist") + "?e=1")
        return self._as_file(request, found)

    @admin.action(description=_("Export the chosen ones as CSV"), permissions=["view"])
    def export_chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        """Stream the chosen payments, as CSV."""
        return self._as_file(request, queryset)

    def _as_file(self, request: HttpRequest, found: QuerySet[Any]) -> StreamingHttpResponse:
        chunks = csv_chunks(found, whole_numbers=self.has_full_msisdn_permission(request))
        name = f"mpesa-{local_now():%Y%m%d-%H%M}.csv"
        return StreamingHttpResponse(
            chunks,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def csv_chunks(queryset: QuerySet[Any], *, whole_numbers: bool) -> Iterator[bytes]:
    """Write payments as CSV, a batch at a time.

    Batches are found by primary key, newest first, so that memory is bounded also where the
    database has no server-side cursor to offer, and no transaction stays open meanwhile.

    Args:
        queryset: the payments, filtered.
        whole_numbers: whether phone numbers are written whole, and not masked.
    """
    # Of the language and zone of now: who streams the rest may have none.
    form = _Form(whole_numbers=whole_numbers)
    # The mark tells spreadsheets that it is UTF-8.
    heading = "\ufeff".encode() + form.lines([[*map(_now_, _EXPORTED), _now_("time_zone")]])
    return chain([heading], _row_chunks(queryset, form))


def _date_format() -> str:
    found = str(get_format("SHORT_DATE_FORMAT"))
    # With the month first, a spreadsheet of another country takes it for the day, and tells nobody.
    return "Y-m-d" if found.startswith(("m", "n")) else found


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How cells are written, by the language and the zone of when it is made.

    Attributes:
        whole_numbers: whether phone numbers are.
        point: before an amount's cents.
        date: the days' format, as Django has it.
        zone: the times'.
    """

    whole_numbers: bool
    point: str = field(default_factory=lambda: str(get_format("DECIMAL_SEPARATOR")))
    date: str = field(default_factory=_date_format)
    zone: tzinfo = field(default_factory=timezone.get_current_timezone)

    def lines(self, rows: Iterable[Iterable[Any]]) -> bytes:
        """Rows as CSV."""
        return csv_lines(rows, self.point).encode()

    def cells(self, row: Mapping[str, Any], paid_for: str) -> Iterator[Any]:
        """A payment's cells."""
        for column in _EXPORTED.values():
            value = paid_for if column == "object_id" else row[column]
            if column == "msisdn" and value and not self.whole_numbers:
                yield mask_msisdn(value)
            elif isinstance(value, datetime):
                local = aware(value).astimezone(self.zone)
                yield dateformat.format(local, f"{self.date} H:i:s")
            elif isinstance(value, Decimal):
                yield f"{value:.2f}".replace(".", self.point)
            else:
                yield exported_text(value) if isinstance(value, str) else value
        yield f"{aware(row['created_at']).astimezone(self.zone):%Z}"


def _row_chunks(queryset: QuerySet[Any], form: _Form) -> Iterator[bytes]:
    rows = queryset.order_by("-pk").values("content_type_id", *_EXPORTED.values())
    batch = list(rows[:EXPORT_BATCH])
    while batch:
        texts = texts_of((row["content_type_id"], row["object_id"]) for row in batch)
        yield form.lines(
            form.cells(row, texts.get((row["content_type_id"], row["object_id"]), ""))
            for row in batch
        )
        batch = list(rows.filter(pk__lt=batch[-1]["pk"])[:EXPORT_BATCH])
