"""Giving a payment's money back: the action, the page that asks for confirmation, and its form."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.formats import get_format, number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import (
    CalledInTransaction,
    IdempotencyConflict,
    MpesaError,
    ValidationError,
)
from mpesa_integrations.core.payments.lifecycle import OPEN_STATES
from mpesa_integrations.core.payments.reversals import is_reversible
from mpesa_integrations.core.payments.shown import digest_of
from mpesa_integrations.core.protocol.schemas import parse_amount
from mpesa_integrations.core.redaction import Secret

from ..accounts import mpesa
from ..connections import non_atomic
from ..models import AbstractTransaction, State
from .pages import IN_TRANSACTION, PaymentPages


class ReversalForm(forms.Form):
    """How much of a payment to give back.

    Each form that is shown has an idempotency key of its own, so sending it twice reverses once.
    """

    amount: forms.CharField = forms.CharField(
        label=_("Amount to give back, MZN"),
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        error_messages={"required": _("Type how much to give back, as in 150 or 99.50.")},
    )
    key: forms.UUIDField = forms.UUIDField(widget=forms.HiddenInput)

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


class PaymentReversal(PaymentPages):
    """*Reverse…*, and the page to which it leads."""

    def get_urls(self) -> list[URLPattern]:
        """Add the page of a reversal."""
        page = self._page("<path:object_id>/reverse/", self.reverse_view, "reverse")
        return [page, *super().get_urls()]

    def has_reverse_permission(self, request: HttpRequest) -> bool:
        """Whether this person may give money back."""
        return self._permitted(request, "reverse_transaction")

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a payment, with a link to its reversal where that can be."""
        record = kwargs.get("obj")
        may = record is not None and self.has_reverse_permission(request) and is_reversible(record)
        return super().render_change_form(request, {**context, "can_reverse": may}, *args, **kwargs)

    @admin.action(description=_("Reverse…"), permissions=["reverse"])
    def reverse(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Go to the confirmation of one payment's reversal."""
        chosen = list(queryset.order_by("-pk").values_list("pk", flat=True)[:2])
        if len(chosen) == 1:
            return HttpResponseRedirect(self._url("reverse", chosen[0]))
        messages.error(request, _("Payments are reversed one at a time: choose just one."))
        return None

    # Outside a transaction, so that ATOMIC_REQUESTS does not keep the reversal from being recorded.
    @non_atomic
    def reverse_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Confirm a reversal, and ask the gateway for it."""
        permitted = self.has_reverse_permission(request)
        record = self._payment(request, object_id, permitted=permitted)
        known = _reversal_of_form(record, request.POST.get("key", ""))
        if known is None and not is_reversible(record):
            messages.error(request, _("Only a completed payment can be given back."))
            return HttpResponseRedirect(self._url("change", record.pk))
        # A form that was sent before gives its own reversal, by which the payment has changed.
        anew = self._shown_anew(request, record, "reverse") if known is None else None
        if anew is not None:
            return anew
        waiting = list(record.reversals.filter(state__in=OPEN_STATES).order_by("pk"))
        left = record.amount - record.reversed_amount - sum(found.amount for found in waiting)
        data = request.POST if request.method == "POST" else None
        form = ReversalForm(data, left=left, used=known is not None)
        if request.method == "POST" and form.is_valid():
            reversal = _reverse(record, form)
            if reversal is not None:
                if known is None:
                    self.log_change(request, record, _now_("Reversal: %s") % reversal)
                _show_outcome(request, reversal)
                return HttpResponseRedirect(self._url("change", record.pk))
        return self._confirmation(
            request, record, form, left=left, waiting=waiting, shown=digest_of(record)
        )

    def _confirmation(
        self, request: HttpRequest, record: AbstractTransaction, form: ReversalForm, **context: Any
    ) -> HttpResponse:
        """The page that asks how much to give back."""
        whole = self.has_full_msisdn_permission(request)
        return self._render(
            request,
            "admin/django_mpesa/reverse.html",
            title=_("Reverse a payment"),
            form=form,
            record=record,
            phone=Secret(record.msisdn) if whole else self.phone(record),
            badge=self.badge(record),
            **context,
        )


def _reversal_of_form(record: Any, key: str) -> Any:
    """The reversal that a form asked for when it was sent before; None the first time."""
    return record.reversals.filter(idempotency_key=key).first() if key else None


def _reverse(record: AbstractTransaction, form: ReversalForm) -> AbstractTransaction | None:
    """Give money back; where nothing was sent, the form says why."""
    try:
        return mpesa[record.account].reverse(
            record,
            form.cleaned_data["amount"],
            idempotency_key=str(form.cleaned_data["key"]),
        )
    except CalledInTransaction:
        form.add_error(None, IN_TRANSACTION)
    except IdempotencyConflict:
        form.add_error(
            None,
            _("This form was sent before, with another amount. Look at the payment again first."),
        )
    except ValidationError as error:
        for argument, texts in error.errors_in(get_language()).items():
            if argument in form.fields:
                form.add_error(argument, texts)
            else:
                form.add_error(None, [f"{argument}: {text}" for text in texts])
    except MpesaError as error:
        form.add_error(None, str(error))
    return None


def _show_outcome(request: HttpRequest, reversal: AbstractTransaction) -> None:
    """Show what is known of a reversal, and no more."""
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
        State.QUEUED: (
            messages.INFO,
            _("The reversal of %(amount)s MZN waits for a worker to send it. Its result will show "
              "here."),
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
