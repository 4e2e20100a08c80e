"""The organiser's page of an account, and where a customer's page asks for its payment."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import get_language
from django.views import View
from pretix.base.forms import SettingsForm
from pretix.control.views.organizer import OrganizerSettingsFormView
from pretix.presale.views import EventViewMixin
from pretix.presale.views.order import OrderDetailMixin

from mpesa_integrations.core.payments.public_status import HEADERS, public_status

from .account_form import account_fields, check_account
from .accounts import PREFIX, TOKEN, ensure_callback_token
from .provider import callback_url
from .records import standing


class PaymentStatus(EventViewMixin, OrderDetailMixin, View):  # type: ignore[misc]
    """Where an order's payment stands, as JSON, for who knows the order's secret."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        """Answer by two queries; nothing waits."""
        refused: HttpResponse | None = self.verify_order_access()
        if refused is not None:
            return refused
        payment = get_object_or_404(self.order.payments, pk=kwargs["payment"])
        record = standing(payment)
        if record is None:
            raise Http404
        return JsonResponse(public_status(record, get_language()), headers=HEADERS)


class OrganizerAccountForm(SettingsForm):  # type: ignore[misc]
    """An organiser's account, for all events that have none of their own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in account_fields().items():
            self.fields[PREFIX + name] = field

    def clean(self) -> dict[str, Any]:
        """Refuse what M-Pesa could not be called with."""
        cleaned: dict[str, Any] = super().clean()
        if not self.errors:
            check_account(cleaned, self.obj.settings)
        return cleaned

    def save(self) -> None:
        """Keep the account, and make its callback token."""
        super().save()
        ensure_callback_token(self.obj.settings)


class OrganizerAccount(OrganizerSettingsFormView):  # type: ignore[misc]
    """The page of an organiser's account."""

    form_class = OrganizerAccountForm
    template_name = "pretix_mpesa_integrations/organizer.html"
    permission = "organizer.settings.general:write"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The form, and the callback URL."""
        token = self.request.organizer.settings.get(TOKEN)
        return super().get_context_data(callback_url=callback_url(token), **kwargs)  # type: ignore[no-any-return]

    def get_success_url(self) -> str:
        """The same page."""
        slug = self.request.organizer.slug
        return reverse("plugins:pretix_mpesa_integrations:organizer", kwargs={"organizer": slug})
