"""What the admin's pages of payments share: addresses, permissions and how a payment is shown.

Each page and action is a class of its own module on top of this; `TransactionAdmin` has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.payments.shown import CHANGED, has_changed

from ..models import AbstractTransaction
from .history import HistoryAdmin
from .rendering import state_badge

IN_TRANSACTION = _(
    "Nothing was sent. On SQLite an M-Pesa call cannot be made inside a database transaction, and "
    "ATOMIC_REQUESTS makes one of each page. Turn it off, or use PostgreSQL; "
    "“manage.py mpesa_reconcile” asks about open payments too."
)
"""Shown where a call raised `CalledInTransaction`."""


class PaymentPages(HistoryAdmin):
    """The base of each page and action for payments."""

    def has_full_msisdn_permission(self, request: HttpRequest) -> bool:
        """Whether this person may see whole phone numbers."""
        return self._permitted(request, "view_full_msisdn")

    @admin.display(description=_("state"))
    def badge(self, record: AbstractTransaction) -> str:
        """The state, in its colour."""
        return state_badge(record.state, record.get_state_display())

    @admin.display(description=_("phone number"))
    def phone(self, record: AbstractTransaction) -> str:
        """The phone number, masked."""
        return record.masked_msisdn

    def _page(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        def page(request: HttpRequest, **arguments: Any) -> HttpResponse:
            answer: HttpResponse = self.admin_site.admin_view(view)(request, **arguments)
            return answer

        return path(route, update_wrapper(page, view), name=self._url_name(name))

    def _payment(self, request: HttpRequest, object_id: str, *, permitted: bool) -> Any:
        """The payment of a page for those who may see it, and what the page does.

        Raises:
            PermissionDenied: this person may not.
            Http404: there is none.
        """
        if not (permitted and self.has_view_permission(request)):
            raise PermissionDenied
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404
        return record

    def _shown_anew(self, request: HttpRequest, record: Any, name: str) -> HttpResponse | None:
        """The way back to a page, where its form was filled in before the payment changed."""
        if request.method != "POST" or not has_changed(record, request.POST.get("shown")):
            return None
        messages.error(request, CHANGED.in_language(get_language()))
        return HttpResponseRedirect(self._url(name, record.pk))

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _url(self, name: str, *arguments: Any) -> str:
        namespace = self.admin_site.name
        return reverse(
            f"{namespace}:{self._url_name(name)}", args=[quote(argument) for argument in arguments]
        )

    def _permitted(self, request: HttpRequest, codename: str) -> bool:
        # Of the app that the model is in, which is not this one where it was swapped.
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def _render(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        everywhere = self.admin_site.each_context(request)
        return TemplateResponse(
            request, template, {**everywhere, "opts": self.opts, "media": self.media, **context}
        )
