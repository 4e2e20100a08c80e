"""The payment method, as pretix calls it: settings, checkout, paying, refunds.

What became of a payment is booked by `booking`, and not here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from decimal import Decimal
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import get_template
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from pretix.base.models import Order, OrderPayment, OrderRefund
from pretix.base.payment import BasePaymentProvider, PaymentException
from pretix.multidomain.urlreverse import eventreverse

from django_mpesa import MpesaError, State, ValidationError, mpesa
from django_mpesa.forms import MsisdnField
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE

from .account_form import account_fields, check_account
from .accounts import TOKEN, account_of, ensure_callback_token, takes_real_money
from .records import IDENTIFIER, forget_phone_number, may_yet_be_paid, paid, reversal_of, standing
from .refunds import ASKED_FOR, give_back, give_back_now_that_it_is_committed, words_of

logger = logging.getLogger(__name__)

_SESSION_KEY = "payment_vodacom_mpesa_msisdn"
_TEMPLATES = "pretix_mpesa_integrations"


class VodacomMpesa(BasePaymentProvider):  # type: ignore[misc] # pretix is not typed
    """Takes payments with Vodacom Mozambique's M-Pesa."""

    identifier = IDENTIFIER
    verbose_name = _("M-Pesa (Vodacom Mozambique)")
    public_name = _("M-Pesa")
    confirm_button_name = _("Pay with M-Pesa")

    # Settings

    @property
    def settings_form_fields(self) -> OrderedDict[str, forms.Field]:
        """What the organiser sets for an event."""
        own = account_fields()
        theirs = super().settings_form_fields
        return OrderedDict([("_enabled", theirs.pop("_enabled")), *own.items(), *theirs.items()])

    def settings_form_clean(self, cleaned_data: dict[str, Any]) -> dict[str, Any]:
        """Refuse keys that do not fit, where M-Pesa is enabled."""
        if self.event.currency != MOZAMBIQUE.currency:
            raise forms.ValidationError(
                _("M-Pesa takes %(mzn)s, and the event's currency is %(currency)s.")
                % {"mzn": MOZAMBIQUE.currency, "currency": self.event.currency}
            )
        check_account(cleaned_data, self.event.settings)
        ensure_callback_token(self.event.settings)
        return cleaned_data

    def settings_content_render(self, request: HttpRequest) -> str:
        """Show the callback URL, and what organisers have in common."""
        return self._render(
            "settings",
            callback_url=callback_url(self.event.settings.get(TOKEN)),
            organizer_url=reverse(
                "plugins:pretix_mpesa_integrations:organizer",
                kwargs={"organizer": self.event.organizer.slug},
            ),
        )

    @property
    def test_mode_message(self) -> str | None:
        """What to tell customers of an event in test mode; None: that real money is taken."""
        if takes_real_money(self.event):
            return None
        return str(_("M-Pesa is in its sandbox: no money moves."))

    # Checkout

    @property
    def payment_form_fields(self) -> OrderedDict[str, forms.Field]:
        """The phone number that pays."""
        return OrderedDict(msisdn=MsisdnField(label=_("M-Pesa phone number")))

    def is_allowed(self, request: HttpRequest, total: Decimal | None = None) -> bool:
        """Whether a cart may be paid so."""
        may = super().is_allowed(request, total)
        return bool(may and self._can_take(self.event.testmode))

    def order_change_allowed(self, order: Order, request: HttpRequest | None = None) -> bool:
        """Whether an order that is there may be paid so."""
        may = super().order_change_allowed(order, request)
        if not (may and self._can_take(order.testmode)):
            return False
        # What is queued is taken back when the customer chooses again.
        return all(record.state == State.QUEUED for record in may_yet_be_paid(order))

    def _can_take(self, testmode: bool) -> bool:
        """Whether there is an account, and not the sandbox for what is sold for money."""
        is_set_up = account_of(self.event) is not None
        in_meticais = self.event.currency == MOZAMBIQUE.currency
        return is_set_up and in_meticais and (testmode or takes_real_money(self.event))

    def payment_is_valid_session(self, request: HttpRequest) -> bool:
        """Whether the phone number is known."""
        return bool(request.session.get(_SESSION_KEY))

    def checkout_confirm_render(
        self, request: HttpRequest, order: Order | None = None, info_data: Any = None
    ) -> str:
        """Say which phone will be asked."""
        return self._render("confirm", msisdn=request.session.get(_SESSION_KEY, ""))

    # Paying

    def execute_payment(self, request: HttpRequest, payment: OrderPayment) -> str | None:
        """Ask the customer's phone; once, however often this is called.

        Raises:
            PaymentException: no money was taken, and why.
        """
        account = account_of(self.event)
        if account is None or not self._can_take(payment.order.testmode):
            raise PaymentException(_("M-Pesa is not set up for this event."))
        _begin(payment, account)
        # Asked before, it stays with the account that it was asked by.
        record = standing(payment) or _ask(payment, account, request.session[_SESSION_KEY])
        if record.may_retry:
            raise PaymentException(record.customer_message(get_language()))
        return None

    def payment_pending_render(self, request: HttpRequest, payment: OrderPayment) -> str:
        """Say where the payment stands, or that for which it was refused; the page follows it."""
        record = standing(payment) or next(iter(may_yet_be_paid(payment.order)), None)
        if record is None:
            return ""
        status_url = eventreverse(
            self.event,
            "plugins:pretix_mpesa_integrations:status",
            kwargs={
                "order": payment.order.code,
                "secret": payment.order.secret,
                "payment": record.object_id,
            },
        )
        return self._render(
            "pending",
            record=record,
            message=record.customer_message(get_language()),
            status_url=status_url,
        )

    def _payment_abort_pending_allowed(self, payment: OrderPayment) -> bool:
        """Whether nobody was asked, or M-Pesa said no: else the customer might pay twice."""
        record = standing(payment)
        return record is None or record.may_retry or record.state == State.QUEUED

    def cancel_payment(self, payment: OrderPayment) -> None:
        """Cancel what nobody was asked for; what is queued still is taken back.

        Raises:
            PaymentException: the customer may be typing the PIN.
        """
        record = standing(payment)
        if record is not None and record.state == State.QUEUED:
            try:
                mpesa[record.account].withdraw(record)
            except MpesaError as error:
                raise PaymentException(str(error)) from error
            payment.refresh_from_db()
            if payment.state == OrderPayment.PAYMENT_STATE_FAILED:
                return
        super().cancel_payment(payment)

    # Refunds

    def payment_refund_supported(self, payment: OrderPayment) -> bool:
        """Whether M-Pesa has money of it that can go back."""
        return paid(payment) is not None

    payment_partial_refund_supported = payment_refund_supported

    def execute_refund(self, refund: OrderRefund) -> None:
        """Give money back; where M-Pesa takes its time, the refund is in transit until it is known.

        Inside a transaction of pretix's, as on the organiser's page, M-Pesa is asked right after
        it; what it then refuses is a refund that failed.

        Raises:
            PaymentException: no money goes back, and why.
        """
        record = paid(refund.payment)
        if record is None:
            raise PaymentException(_("M-Pesa has no money of this payment that could go back."))
        refund.state = OrderRefund.REFUND_STATE_TRANSIT
        refund.info_data = {ASKED_FOR: record.third_party_reference}
        refund.save(update_fields=["state", "info"])
        if transaction.get_connection().in_atomic_block:
            later = partial(give_back_now_that_it_is_committed, refund.pk)
            transaction.on_commit(later, robust=True)
        else:
            give_back(refund)

    # The organiser's pages

    def payment_control_render(self, request: HttpRequest, payment: OrderPayment) -> str:
        """Show M-Pesa's record of a payment."""
        return self._render("record", record=standing(payment))

    def payment_control_render_short(self, payment: OrderPayment) -> str:
        """The phone number, masked."""
        return str(payment.info_data.get("msisdn", ""))

    def payment_presale_render(self, payment: OrderPayment) -> str:
        """The method and the phone number, masked."""
        return f"{self.public_name} {payment.info_data.get('msisdn', '')}".strip()

    def refund_control_render(self, request: HttpRequest, refund: OrderRefund) -> str:
        """Show M-Pesa's record of a refund."""
        return self._render("record", record=reversal_of(refund))

    def refund_control_render_short(self, refund: OrderRefund) -> str:
        """The phone number, masked."""
        return str(refund.info_data.get("msisdn", ""))

    def api_payment_details(self, payment: OrderPayment) -> dict[str, Any]:
        """What the API tells of a payment."""
        return dict(payment.info_data)

    def api_refund_details(self, refund: OrderRefund) -> dict[str, Any]:
        """What the API tells of a refund."""
        return dict(refund.info_data)

    def matching_id(self, payment: OrderPayment) -> str | None:
        """M-Pesa's transaction, as its statement has it."""
        return payment.info_data.get("transaction_id") or None

    def refund_matching_id(self, refund: OrderRefund) -> str | None:
        """M-Pesa's transaction, as its statement has it."""
        return refund.info_data.get("transaction_id") or None

    def shred_payment_info(self, obj: OrderPayment | OrderRefund) -> None:
        """Forget the phone number, in M-Pesa's record too; the IDs are nobody's own."""
        if isinstance(obj, OrderPayment):
            forget_phone_number(obj)
        obj.info_data = {key: value for key, value in obj.info_data.items() if key != "msisdn"}
        obj.save(update_fields=["info"])

    def _render(self, name: str, **context: Any) -> str:
        found = get_template(f"{_TEMPLATES}/{name}.html")
        return str(found.render({"event": self.event, **context}))


def callback_url(token: str | None) -> str | None:
    """Where M-Pesa calls with an account's results; None until there is a token."""
    if not token:
        return None
    path = reverse("plugins:pretix_mpesa_integrations:django_mpesa:callback", args=[token])
    site: Any = settings
    return f"{site.SITE_URL.rstrip('/')}{path}"


def _begin(payment: OrderPayment, account: str) -> None:
    """Mark a payment as pending before its customer is asked, so that nobody cancels it meanwhile.

    Raises:
        PaymentException: it is not open any more, another of its order is, or the order needs no
            money: it was paid in another way, or canceled, while a page stayed open.
    """
    refused = None
    with transaction.atomic():
        locked = OrderPayment.objects.select_for_update(of=("self",)).get(pk=payment.pk)
        if locked.state not in (
            OrderPayment.PAYMENT_STATE_CREATED,
            OrderPayment.PAYMENT_STATE_PENDING,
        ):
            raise PaymentException(_("This payment cannot be continued."))
        order = Order.objects.select_for_update(of=("self",)).get(pk=payment.order_id)
        if not _needs_money(order):
            refused = _("This payment cannot be continued.")
        elif may_yet_be_paid(order, besides=payment):
            refused = _("A payment of this order is already under way.")
        if refused:
            locked.fail(send_mail=False)
        else:
            locked.state = OrderPayment.PAYMENT_STATE_PENDING
            locked.info_data = {"account": account}
            locked.save(update_fields=["state", "info"])
    payment.refresh_from_db()
    if refused:
        raise PaymentException(refused)


def _needs_money(order: Order) -> bool:
    """Whether an order is still to be paid; pretix asks that only when it shows its pages."""
    awaited = (Order.STATUS_PENDING, Order.STATUS_EXPIRED)
    return order.status in awaited and order.pending_sum > 0


def _ask(payment: OrderPayment, account: str, msisdn: str) -> Any:
    """Ask the customer's phone, and give M-Pesa's record.

    Raises:
        PaymentException: nothing was sent.
    """
    try:
        return mpesa[account].c2b(
            order=payment,
            msisdn=msisdn,
            amount=payment.amount,
            reference=payment.full_id[-20:],
        )
    except MpesaError as error:
        payment.fail(info={"account": account, "error": str(error)}, send_mail=False)
        if isinstance(error, ValidationError):
            raise PaymentException(words_of(error)) from error
        # Only the organiser can do something about it.
        logger.error("The payment %s could not be asked for: %s", payment.full_id, error)
        raise PaymentException(
            _("M-Pesa cannot be asked just now. No money was taken: please try again later.")
        ) from error
