"""The admin's view of payments and callbacks: history, to look at, to ask about and to reverse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import get_format, number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import (
    CalledInTransaction,
    IdempotencyConflict,
    MpesaError,
    ValidationError,
)
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES
from mpesa_integrations.core.protocol.answers import UnreadableBody, read_json_object
from mpesa_integrations.core.protocol.msisdn import mask_msisdns_in
from mpesa_integrations.core.protocol.schemas import parse_amount
from mpesa_integrations.core.redaction import Secret

from .accounts import account_options, mpesa
from .changelist import AccountFilter, HistoryAdmin
from .models import AbstractTransaction, CallbackLog, Operation, State
from .reports import ReportForm, csv_chunks, make_report
from .swapping import get_transaction_model
from .times import local_now

if TYPE_CHECKING:
    _TabularInline = admin.TabularInline[Any, Any]
else:
    _TabularInline = admin.TabularInline

ASKED_AT_ONCE = 100
"""How many payments one action asks the gateway about, while the browser waits."""
_SECRET_SETTINGS = ("API_KEY", "SECURITY_CREDENTIAL", "CALLBACK_TOKEN")
_IN_TRANSACTION = _(
    "Nothing was sent. On SQLite an M-Pesa call cannot be made inside a database transaction, and "
    "ATOMIC_REQUESTS makes one of each page. Turn it off, or use PostgreSQL; "
    "“manage.py mpesa_reconcile” asks about open payments too."
)


class CallbackInline(_TabularInline):
    """The callbacks of a payment."""

    model = CallbackLog
    extra = 0
    can_delete = False
    show_change_link = True
    fields = ("received_at", "remote_address", "verdict", "conversation_id")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds to history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes it."""
        return False


class ReversalForm(forms.Form):
    """How much of a payment to give back.

    Each form that is shown has an idempotency key of its own, so sending it twice reverses once.
    """

    amount = forms.CharField(
        label=_("Amount to give back, MZN"),
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"required": _("Type how much to give back, as in 150 or 99.50.")},
    )
    key = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, left: Decimal, used: bool = False) -> None:
        amount = f"{left:.2f}".replace(".", get_format("DECIMAL_SEPARATOR"))
        super().__init__(data, initial={"amount": amount, "key": uuid.uuid4()})
        self._left = left
        self._used = used
        if data is not None and self["amount"].errors:
            described = {"aria-invalid": "true", "aria-describedby": "id_amount_error"}
            self.fields["amount"].widget.attrs |= described

    def clean_amount(self) -> Decimal:
        """The amount: not more than is left, unless this form's reversal took some of that."""
        amount = parse_amount(self.cleaned_data["amount"].replace(",", "."))
        if not amount:
            raise forms.ValidationError(
                _("Type an amount of more than 0 with at most 2 decimals, as in 150 or 99.50.")
            )
        if amount > self._left and not self._used:
            raise forms.ValidationError(
                _("This is too much: at most %s MZN can be given back.")
                % number_format(self._left, 2)
            )
        return amount


class TransactionAdmin(HistoryAdmin):
    """Payments: found by what a customer or the statement names, asked about, reversed, counted."""

    change_form_template = "admin/django_mpesa/change_form.html"
    list_display = ("created_at", "badge", "amount", "operation", "phone", "reference",
                    "transaction_id")  # fmt: skip
    list_filter = ("state", "operation", AccountFilter)
    filtered_columns = ("state", "operation", "account", "created_at")
    search_fields = ("third_party_reference", "transaction_id", "conversation_id", "msisdn",
                     "reference")  # fmt: skip
    search_help_text = _(
        "A whole reference, phone number, third-party reference, conversation or transaction ID"
    )
    date_hierarchy = "created_at"
    # By an index also where the list is of a period.
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    actions = ("ask_gateway", "reverse")
    inlines = (CallbackInline,)

    def get_urls(self) -> list[URLPattern]:
        """The admin's own pages, with report, export and reversal before them."""
        return [
            self._page("report/", self.report_view, "report"),
            self._page("export/", self.export_view, "export"),
            self._page("<path:object_id>/reverse/", self.reverse_view, "reverse"),
            *super().get_urls(),
        ]

    def has_reverse_permission(self, request: HttpRequest) -> bool:
        """Whether this person may give money back."""
        return self._permitted(request, "reverse_transaction")

    def has_full_msisdn_permission(self, request: HttpRequest) -> bool:
        """Whether this person may see whole phone numbers."""
        return self._permitted(request, "view_full_msisdn")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list, with links to the report and the export."""
        return super().changelist_view(request, {**(extra_context or {}), "has_report": True})

    def get_list_display(self, request: HttpRequest) -> Any:
        """The columns, with the phone number as this person may see it."""
        whole = self.has_full_msisdn_permission(request)
        return ["msisdn" if whole and name == "phone" else name for name in self.list_display]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """All columns, those of a model of your own last."""
        phone = "msisdn" if self.has_full_msisdn_permission(request) else "phone"
        payment = ("badge", "operation", "amount", "reversed_amount", "currency", phone,
                   "receiver_shortcode", "reference", "original", "reversals")  # fmt: skip
        gateway = ("account", "third_party_reference", "conversation_id", "transaction_id",
                   "response_code", "response_description", "conflict")  # fmt: skip
        times = ("created_at", "updated_at", "next_check_at", "checks")
        shown = {*payment, *gateway, *times, "id", "state", "msisdn", "metadata", "content_type",
                 "object_id"}  # fmt: skip
        others = [field.name for field in self.opts.fields if field.name not in shown]
        return (
            (None, {"fields": payment}),
            (_("At the gateway"), {"fields": gateway}),
            (_("Times"), {"fields": times}),
            (_("In the shop"), {"fields": ("paid_for_object", "readable_metadata", *others)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them."""
        return [
            name for _title, options in self.get_fieldsets(request) for name in options["fields"]
        ]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a payment, with a link to its reversal where that can be."""
        record = kwargs.get("obj")
        may = record is not None and self.has_reverse_permission(request) and _reversible(record)
        return super().render_change_form(request, {**context, "can_reverse": may}, *args, **kwargs)

    @admin.display(description=_("state"))
    def badge(self, record: AbstractTransaction) -> str:
        """The state, in its colour."""
        return format_html(
            '<span class="mpesa-state mpesa-{}">{}</span>', record.state, record.get_state_display()
        )

    @admin.display(description=_("phone number"))
    def phone(self, record: AbstractTransaction) -> str:
        """The phone number, masked."""
        return record.masked_msisdn

    @admin.display(description=_("reversals"))
    def reversals(self, record: Any) -> str:
        """The reversals of a payment, each with a link."""
        links = ((self._url("change", found.pk), found, found.get_state_display())
                 for found in record.reversals.order_by("pk"))  # fmt: skip
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links) or "–"

    @admin.display(description=_("paid for"))
    def paid_for_object(self, record: AbstractTransaction) -> str:
        """What the payment is for."""
        return str(record.paid_for or "–")

    @admin.display(description=_("metadata"))
    def readable_metadata(self, record: AbstractTransaction) -> str:
        """The shop's own notes, phone numbers masked."""
        return _preformatted(_json_text(record.metadata))

    @admin.action(description=_("Ask the gateway now"), permissions=["view"])
    def ask_gateway(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Ask what became of the chosen payments that have no final result."""
        chosen = queryset.filter(state__in=OPEN_STATES).order_by("-pk")
        found = list(chosen[: ASKED_AT_ONCE + 1])
        problems: list[str] = []
        asked: list[AbstractTransaction] = []
        for record in found[:ASKED_AT_ONCE]:
            try:
                asked.append(mpesa[record.account].check(record))
            except CalledInTransaction:
                messages.error(request, _IN_TRANSACTION)
                return
            except MpesaError as error:
                problems.append(f"{record.third_party_reference}: {error}")
        self._tell_answers(request, asked, problems)
        if not found:
            messages.info(request, _("There was nothing to ask: the result is final."))
        if len(found) > ASKED_AT_ONCE:
            told = _("Only the newest %d open payments were looked at.") % ASKED_AT_ONCE
            messages.warning(request, told)

    @admin.action(description=_("Reverse…"), permissions=["reverse"])
    def reverse(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Go to the confirmation of one payment's reversal."""
        chosen = list(queryset.order_by("-pk").values_list("pk", flat=True)[:2])
        if len(chosen) == 1:
            return HttpResponseRedirect(self._url("reverse", chosen[0]))
        messages.error(request, _("Payments are reversed one at a time: choose just one."))
        return None

    # Outside a transaction, so that ATOMIC_REQUESTS does not keep the reversal from being recorded.
    @transaction.non_atomic_requests
    def reverse_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Confirm a reversal, and ask the gateway for it."""
        if not (self.has_view_permission(request) and self.has_reverse_permission(request)):
            raise PermissionDenied
        record = self.get_object(request, unquote(object_id))
        if record is None:
            raise Http404
        known = self._reversal_of_form(record, request.POST.get("key", ""))
        if known is None and not _reversible(record):
            messages.error(request, _("Only a completed payment can be given back."))
            return HttpResponseRedirect(self._url("change", record.pk))
        waiting = list(record.reversals.filter(state__in=OPEN_STATES).order_by("pk"))
        left = record.amount - record.reversed_amount - sum(found.amount for found in waiting)
        data = request.POST if request.method == "POST" else None
        form = ReversalForm(data, left=left, used=known is not None)
        if request.method == "POST" and form.is_valid():
            reversal = _reverse(record, form)
            if reversal is not None:
                if known is None:
                    self.log_change(request, record, _now_("Reversal: %s") % reversal)
                _tell_reversal(request, reversal)
                return HttpResponseRedirect(self._url("change", record.pk))
        whole = self.has_full_msisdn_permission(request)
        phone = Secret(record.msisdn) if whole else self.phone(record)
        return self._render(
            request,
            "admin/django_mpesa/reverse.html",
            title=_("Reverse a payment"),
            form=form,
            record=record,
            phone=phone,
            badge=self.badge(record),
            left=left,
            waiting=waiting,
        )

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

    def report_view(self, request: HttpRequest) -> HttpResponse:
        """Show how payments did over a period."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ReportForm(request.GET)
        report = make_report(self.model, **form.cleaned_data) if form.is_valid() else None
        return self._render(
            request,
            "admin/django_mpesa/report.html",
            title=_("Report"),
            form=form,
            report=report,
            several_accounts=len(list(mpesa)) > 1,
        )

    def _page(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        def page(request: HttpRequest, **arguments: Any) -> HttpResponse:
            answer: HttpResponse = self.admin_site.admin_view(view)(request, **arguments)
            return answer

        return path(route, update_wrapper(page, view), name=self._url_name(name))

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

    def _reversal_of_form(self, record: Any, key: str) -> Any:
        # Since the form was sent before, what it asked for may have happened.
        if not key:
            return None
        return record.reversals.filter(idempotency_key=key).first()

    @staticmethod
    def _tell_answers(
        request: HttpRequest, asked: list[AbstractTransaction], problems: list[str]
    ) -> None:
        if asked:
            still_open = sum(record.is_open for record in asked)
            told = ngettext(
                "The gateway was asked about %d payment.",
                "The gateway was asked about %d payments.",
                len(asked),
            ) % len(asked)
            if still_open:
                told += " " + _now_("Still without a final result: %d.") % still_open
            messages.info(request, told)
        if problems:
            told = ngettext(
                "%(count)d payment could not be asked about. %(first)s",
                "%(count)d payments could not be asked about. The first: %(first)s",
                len(problems),
            ) % {"count": len(problems), "first": problems[0]}
            messages.error(request, told)


class CallbackLogAdmin(HistoryAdmin):
    """Callbacks as they arrived."""

    list_display = ("received_at", "badge", "third_party_reference", "remote_address")
    list_filter = ("verdict", AccountFilter)
    filtered_columns = ("verdict", "account", "received_at")
    search_fields = ("third_party_reference", "conversation_id")
    search_help_text = _("A whole third-party reference or conversation ID")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    sortable_by = ("received_at",)
    fields = ("received_at", "badge", "account", "remote_address", "third_party_reference",
              "conversation_id", "transaction", "readable_body")  # fmt: skip
    readonly_fields = fields

    @admin.display(description=_("verdict"))
    def badge(self, entry: CallbackLog) -> str:
        """The verdict, in its colour."""
        return format_html(
            '<span class="mpesa-state mpesa-{}">{}</span>',
            entry.verdict,
            entry.get_verdict_display(),
        )

    @admin.display(description=_("body"))
    def readable_body(self, entry: CallbackLog) -> str:
        """The body as text, without phone numbers and the account's secrets."""
        body = bytes(entry.body)
        try:
            text = _json_text(read_json_object(body))
        except UnreadableBody as problem:
            said = _now_("The body %s. As it arrived:") % problem
            text = f"{said}\n\n{mask_msisdns_in(body.decode(errors='replace'))}"
        for secret in _secrets(entry.account):
            text = text.replace(secret, "•••")
        return _preformatted(text)


def _reversible(record: AbstractTransaction) -> bool:
    return (
        Operation(record.operation) is not Operation.REVERSAL
        and State(record.state) in (State.COMPLETED, State.PARTLY_REVERSED)
        and bool(record.transaction_id)
    )


def _reverse(record: AbstractTransaction, form: ReversalForm) -> AbstractTransaction | None:
    """Give money back; where nothing was sent, the form says why."""
    try:
        return mpesa[record.account].reverse(
            transaction_id=record.transaction_id,
            amount=form.cleaned_data["amount"],
            idempotency_key=str(form.cleaned_data["key"]),
        )
    except CalledInTransaction:
        form.add_error(None, _IN_TRANSACTION)
    except IdempotencyConflict:
        form.add_error(
            None,
            _("This form was sent before, with another amount. Look at the payment again first."),
        )
    except ValidationError as error:
        for argument, problems in error.errors_in(get_language()).items():
            if argument in form.fields:
                form.add_error(argument, problems)
            else:
                form.add_error(None, [f"{argument}: {problem}" for problem in problems])
    except MpesaError as error:
        form.add_error(None, str(error))
    return None


def _tell_reversal(request: HttpRequest, reversal: AbstractTransaction) -> None:
    """Say what is known of a reversal, and no more."""
    level, text = {
        State.COMPLETED: (
            messages.SUCCESS,
            _("%(amount)s MZN were given back, says the gateway (transaction %(id)s)."),
        ),
        State.FAILED: (
            messages.ERROR,
            _("Nothing was given back: the reversal failed. The gateway said: %(said)s"),
        ),
        State.CANCELLED: (
            messages.ERROR,
            _("Nothing was given back: the reversal was cancelled. The gateway said: %(said)s"),
        ),
        State.PENDING: (
            messages.INFO,
            _("The gateway has accepted the reversal of %(amount)s MZN and not decided it yet. "
              "Its result will show here."),
        ),
        State.INITIATED: (
            messages.INFO,
            _("The reversal of %(amount)s MZN is under way. Its result will show here."),
        ),
    }.get(
        State(reversal.state),
        (
            messages.WARNING,
            _("Nobody knows yet whether the %(amount)s MZN were given back: no clear answer came. "
              "Do not reverse again; the gateway is asked until it knows, and the result will show "
              "here."),
        ),
    )  # fmt: skip
    values = {
        "amount": number_format(reversal.amount, 2),
        "id": reversal.transaction_id or "–",
        "said": reversal.response_description or "–",
    }
    messages.add_message(request, level, text % values)


def _json_text(value: Any) -> str:
    return mask_msisdns_in(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _preformatted(text: str) -> str:
    return format_html('<pre class="mpesa-text">{}</pre>', text)


def _secrets(account: str) -> Iterable[str]:
    options = account_options().get(account, {})
    return [str(options[name]) for name in _SECRET_SETTINGS if options.get(name)]


admin.site.register(get_transaction_model(), TransactionAdmin)
admin.site.register(CallbackLog, CallbackLogAdmin)
