"""The page of the report over a period, and the form that chooses it; `figures` counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _

from ..times import local_now
from .changelist import account_names
from .figures import make_report
from .pages import PaymentPages

DEFAULT_DAYS = 30
MOST_DAYS = 366
"""A longer report would be more rows than a page should have."""
# At the ends of the calendar, the day after or another zone's hour is none any more.
_POSSIBLE = (MinValueValidator(date(2000, 1, 1)), MaxValueValidator(date(2999, 12, 31)))


class ReportForm(forms.Form):
    """The period, and the account if there are several."""

    start: forms.DateField = forms.DateField(
        label=_("From"),
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        validators=_POSSIBLE,
    )
    end: forms.DateField = forms.DateField(
        label=_("To"),
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        validators=_POSSIBLE,
    )
    account: forms.ChoiceField = forms.ChoiceField(label=_("Account"), required=False)

    def __init__(self, data: Any, accounts: Sequence[str]) -> None:
        super().__init__({**self._last_days(), **data.dict()})
        choices = [("", _("All accounts")), *((alias, alias) for alias in accounts)]
        self.fields["account"].choices = choices  # type: ignore[attr-defined]

    def clean_end(self) -> date:
        """The end, which is not before the start nor more than a year after it."""
        start, end = self.cleaned_data.get("start"), self.cleaned_data["end"]
        if start and end < start:
            raise ValidationError(_("Choose a day that is not before the first one."))
        if start and (end - start).days >= MOST_DAYS:
            raise ValidationError(_("Choose at most %d days.") % MOST_DAYS)
        return end  # type: ignore[no-any-return]

    @staticmethod
    def _last_days() -> dict[str, str]:
        today = local_now().date()
        start = today - timedelta(days=DEFAULT_DAYS - 1)
        return {"start": start.isoformat(), "end": today.isoformat()}


class PaymentReport(PaymentPages):
    """*Report*."""

    def get_urls(self) -> list[URLPattern]:
        """Add the report."""
        return [self._page("report/", self.report_view, "report"), *super().get_urls()]

    def report_view(self, request: HttpRequest) -> HttpResponse:
        """Show how payments did over a period."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        accounts = account_names(request)
        form = ReportForm(request.GET, accounts)
        report = make_report(self.model, **form.cleaned_data) if form.is_valid() else None
        return self._render(
            request,
            "admin/django_mpesa/report.html",
            title=_("Report"),
            form=form,
            report=report,
            several_accounts=len(accounts) > 1,
        )
