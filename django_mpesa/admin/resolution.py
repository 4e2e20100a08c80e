"""Deciding what became of a payment of which the gateway does not tell, or tells two things."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import get_language
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.errors import CalledInTransaction, MpesaError, ValidationError
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.core.payments.orders import is_in_conflict
from mpesa_integrations.core.payments.resolutions import decisions, is_undecided
from mpesa_integrations.core.payments.shown import digest_of

from ..accounts import mpesa
from ..connections import non_atomic
from ..models import AbstractTransaction
from .pages import IN_TRANSACTION, PaymentPages

_DECISIONS = {
    State.COMPLETED: _("The money moved: the statement shows it"),
    State.FAILED: _("No money moved: the statement does not show it"),
    State.CANCELLED: _("It is taken back: nothing is to be sent"),
}


class ResolutionForm(forms.Form):
    """What somebody decides, and on what grounds."""

    state: forms.ChoiceField = forms.ChoiceField(
        label=_("What happened"),
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose what happened.")},
    )
    note: forms.CharField = forms.CharField(
        label=_("Grounds"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "aria-describedby": "id_note_help"}),
        error_messages={"required": _("Write on what grounds, as in: statement of 3 May, line 7.")},
    )

    def __init__(self, data: Any = None, *, record: AbstractTransaction) -> None:
        super().__init__(data)
        choices = [(state.value, _DECISIONS[state]) for state in decisions(State(record.state))]
        self.fields["state"].choices = choices  # type: ignore[attr-defined]


class PaymentResolution(PaymentPages):
    """*Decide…*, and the page to which it leads."""

    def get_urls(self) -> list[URLPattern]:
        """Add the page of a decision."""
        page = self._page("<path:object_id>/resolve/", self.resolve_view, "resolve")
        return [page, *super().get_urls()]

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        """Whether this person may decide what became of a payment."""
        return self._permitted(request, "resolve_transaction")

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show a payment, with a link to its decision where there is something to decide."""
        record = kwargs.get("obj")
        may = record is not None and self.has_resolve_permission(request) and is_undecided(record)
        return super().render_change_form(request, {**context, "can_resolve": may}, *args, **kwargs)

    # Outside a transaction, as the decision is written, so that its signals are sent when it is.
    @non_atomic
    def resolve_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask what happened and on what grounds, and write that down."""
        permitted = self.has_resolve_permission(request)
        record = self._payment(request, object_id, permitted=permitted)
        if not is_undecided(record):
            messages.error(request, _("There is nothing to decide: the result is final."))
            return HttpResponseRedirect(self._url("change", record.pk))
        anew = self._shown_anew(request, record, "resolve")
        if anew is not None:
            return anew
        form = ResolutionForm(request.POST if request.method == "POST" else None, record=record)
        if request.method == "POST" and form.is_valid() and _resolve(request, record, form):
            decided = form.cleaned_data
            self.log_change(request, record, _now_("Decided: %(state)s. %(note)s") % decided)
            messages.success(request, _("Your decision was written down."))
            return HttpResponseRedirect(self._url("change", record.pk))
        return self._render(
            request,
            "admin/django_mpesa/resolve.html",
            title=_("Decide what became of a payment"),
            form=form,
            record=record,
            shown=digest_of(record),
            badge=self.badge(record),
            phone=self.phone(record),
            in_conflict=is_in_conflict(record),
        )


def _resolve(request: HttpRequest, record: AbstractTransaction, form: ResolutionForm) -> bool:
    """Write a decision down; where that is refused, the form says why."""
    try:
        mpesa[record.account].resolve(
            record,
            State(form.cleaned_data["state"]),
            by=request.user.get_username(),
            note=form.cleaned_data["note"],
        )
    except CalledInTransaction:
        form.add_error(None, IN_TRANSACTION)
    except ValidationError as error:
        for texts in error.errors_in(get_language()).values():
            form.add_error(None, list(texts))
    except MpesaError as error:
        form.add_error(None, str(error))
    return form.is_valid()
