"""What django-payments calls: the form, what comes after it, and refunds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from payments import PaymentError, PaymentStatus, RedirectNeeded
from payments.core import BasicProvider
from payments.forms import PaymentForm

from django_mpesa import MpesaError, State, ValidationError, mpesa
from django_mpesa.forms import MsisdnField
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.orders import is_contradicted
from mpesa_integrations.core.payments.registry import DEFAULT

_PAID = (PaymentStatus.CONFIRMED, PaymentStatus.PREAUTH, PaymentStatus.REFUNDED)
"""The statuses of what was paid, by hand or by another provider where M-Pesa was not asked."""
_CANCELLED = "cancelled"
"""The status; older versions of django-payments have no name for it."""


class MpesaPaymentForm(PaymentForm):  # type: ignore[misc] # django-payments is not typed
    """Asks for the phone number that pays."""

    msisdn: MsisdnField = MsisdnField()


class MpesaProvider(BasicProvider):  # type: ignore[misc]
    """Takes a django-payments payment with M-Pesa.

    The form asks for a phone number, which is then asked for the PIN. Of a payment, M-Pesa is asked
    once at a time: a customer who reloads, or comes back, gets the page of what is under way, and
    one who did not pay may try again, with the same phone or another. What became of it is booked
    by `booking`, also where the customer has gone.

    Args:
        account: the name of the M-Pesa account in the settings.
        capture: M-Pesa knows no pre-authorisation: True.

    Raises:
        ImproperlyConfigured: `capture` is False, or there is no such account.
    """

    def __init__(self, account: str = DEFAULT, capture: bool = True) -> None:
        super().__init__(capture=capture)
        if not capture:
            raise ImproperlyConfigured("M-Pesa takes money at once: capture must be True")
        if account not in mpesa:
            known = ", ".join(mpesa) or "none"
            raise ImproperlyConfigured(f"there is no M-Pesa account {account!r}; MPESA has {known}")
        self._account = account

    @property
    def _payments(self) -> Payments[Any, Any]:
        return mpesa[self._account]

    def get_form(self, payment: Any, data: Mapping[str, Any] | None = None) -> MpesaPaymentForm:
        """Give the form; with data, ask the customer's phone.

        Raises:
            RedirectNeeded: to the page that comes next.
            PaymentError: the payment was cancelled, is in another currency, or of an amount that
                M-Pesa cannot take; nothing was sent.
        """
        standing = self._payments.standing(payment)
        if standing is not None and not _may_retry(standing):
            raise RedirectNeeded(self._page_after(payment, standing))
        if standing is not None:  # it may have failed just now, by being asked for
            payment.refresh_from_db(fields=["message"])
        if payment.status in _PAID:
            raise RedirectNeeded(payment.get_success_url())
        if payment.status == _CANCELLED:
            raise PaymentError("The payment was cancelled: nobody is asked for the money")
        if payment.currency != MOZAMBIQUE.currency:
            raise PaymentError(
                f"M-Pesa takes {MOZAMBIQUE.currency}, and the payment is in {payment.currency}"
            )
        if payment.status == PaymentStatus.WAITING:
            payment.change_status(PaymentStatus.INPUT)
        form = MpesaPaymentForm(data, provider=self, payment=payment, hidden_inputs=False)
        if form.is_valid():
            self._pay(payment, form)
        return form

    def _pay(self, payment: Any, form: MpesaPaymentForm) -> None:
        try:
            asked = self._payments.c2b(
                order=payment, msisdn=form.cleaned_data["msisdn"], amount=payment.total
            )
        except ValidationError as error:
            problems = error.errors_in(get_language())
            form.add_error("msisdn", problems.pop("msisdn", []))
            if problems:
                raise PaymentError(str(error)) from error
            return
        if not asked.may_retry:
            raise RedirectNeeded(self._page_after(payment, asked))
        form.add_error("msisdn", asked.customer_message(get_language()))

    def process_data(self, payment: Any, request: HttpRequest) -> HttpResponse:
        """Show where a payment stands until that is known, then go on to the shop's own page."""
        standing: Any = self._payments.standing(payment)
        if standing is None:
            return HttpResponseRedirect(payment.get_failure_url())
        if not _is_awaited(standing):
            return HttpResponseRedirect(self._page_after(payment, standing))
        context = {"payment": payment, "mpesa": standing}
        page = render(request, "django_mpesa/django_payments/waiting.html", context)
        add_never_cache_headers(page)
        return page

    def _page_after(self, payment: Any, standing: Any) -> str:
        if _is_awaited(standing):
            return str(payment.get_process_url())
        url = payment.get_failure_url() if _may_retry(standing) else payment.get_success_url()
        return str(url)

    def refund(self, payment: Any, amount: Decimal | None = None) -> Decimal:
        """Give the customer's money back, or a part of it.

        What went back is booked once M-Pesa has confirmed it: at once, or, where the gateway takes
        its time, later. Until then the payment stays as it is, and what is under way cannot be
        asked for again.

        Returns:
            0, as there is nothing left to be booked.

        Raises:
            PaymentError: nothing goes back, and why.
        """
        paid = self._payments.paid(payment)
        if paid is None:
            raise PaymentError(_("No M-Pesa payment of it is on record, so nothing goes back."))
        try:
            refund = self._payments.reverse(paid, amount)
        except MpesaError as error:
            raise PaymentError(str(error)) from error
        if refund.may_retry:
            problem = refund.response_description or _("M-Pesa refused to give the money back.")
            raise PaymentError(problem, code=refund.response_code)
        payment.refresh_from_db(fields=["status", "captured_amount", "message"])
        return Decimal(0)

    def cancel(self, payment: Any) -> None:
        """Cancel what nobody was asked for; what a worker has not sent yet is taken back.

        Raises:
            PaymentError: the customer may be typing the PIN, or has paid.
        """
        standing = self._payments.standing(payment)
        if standing is not None and standing.state == State.QUEUED:
            try:
                standing = self._payments.withdraw(standing)
            except MpesaError as error:
                raise PaymentError(str(error)) from error
        if standing is not None and not standing.may_retry:
            raise PaymentError(
                _("The customer was asked for the money: it cannot be cancelled any more.")
            )

    def capture(self, payment: Any, amount: Decimal | None = None) -> NoReturn:
        """Refuse: there is no pre-authorisation."""
        raise PaymentError(_("M-Pesa takes money at once: there is nothing to capture."))

    def release(self, payment: Any) -> NoReturn:
        """Refuse: there is no pre-authorisation."""
        raise PaymentError(_("M-Pesa takes money at once: there is nothing to release."))


def _is_awaited(standing: Any) -> bool:
    """Whether it is not known for sure yet what became of a payment."""
    return bool((standing.is_open and not _is_late(standing)) or is_contradicted(standing))


def _may_retry(standing: Any) -> bool:
    return bool(standing.may_retry or _is_late(standing))


def _is_late(standing: Any) -> bool:
    """Whether no worker may send it any more.

    django-payments shows its page in a transaction, in which SQLite cannot write that down.
    """
    return bool(standing.state == State.QUEUED and standing.send_before <= timezone.now())
