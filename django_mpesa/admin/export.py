"""The export of payments as CSV: the rows that the list's filters and search find."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import chain
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_noop

from mpesa_integrations.core.masking import mask_msisdn
from mpesa_integrations.core.payments.listings import exported_text

from ..times import aware, local_now
from .pages import PaymentPages

EXPORT_BATCH = 2_000
_EXPORTED = (
    gettext_noop("pk"), gettext_noop("created_at"), gettext_noop("updated_at"),
    gettext_noop("account"), gettext_noop("operation"), gettext_noop("state"),
    gettext_noop("amount"), gettext_noop("reversed_amount"), gettext_noop("currency"),
    gettext_noop("msisdn"), gettext_noop("receiver_shortcode"), gettext_noop("reference"),
    gettext_noop("third_party_reference"), gettext_noop("conversation_id"),
    gettext_noop("transaction_id"), gettext_noop("response_code"),
    gettext_noop("response_description"), gettext_noop("conflict"),
)  # fmt: skip


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
            found = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._url("changelist") + "?e=1")
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
    # The mark tells spreadsheets that it is UTF-8. The headings are in the language of now: who
    # streams the rest may have none.
    heading = "\ufeff".encode() + _csv_text([[_now_(name) for name in _EXPORTED]])
    return chain([heading], _row_chunks(queryset, whole_numbers))


def _row_chunks(queryset: QuerySet[Any], whole_numbers: bool) -> Iterator[bytes]:
    rows = queryset.order_by("-pk").values_list(*_EXPORTED)
    batch = list(rows[:EXPORT_BATCH])
    while batch:
        yield _csv_text(_cells(row, whole_numbers) for row in batch)
        batch = list(rows.filter(pk__lt=batch[-1][0])[:EXPORT_BATCH])


def _csv_text(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(row: tuple[Any, ...], whole_numbers: bool) -> Iterator[Any]:
    for name, value in zip(_EXPORTED, row, strict=True):
        if name == "msisdn" and value and not whole_numbers:
            yield mask_msisdn(value)
        elif isinstance(value, datetime):
            yield aware(value).astimezone(timezone.utc).isoformat(timespec="seconds")
        else:
            yield exported_text(value) if isinstance(value, str) else value
