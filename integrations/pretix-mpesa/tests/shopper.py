"""A customer: what they do on pretix's own pages."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django_scopes import scopes_disabled
from pretix.base.models import Order

RICH, POOR = "84 123 4567", "84 000 0001"


class Shopper:
    """A customer's browser in an event's shop.

    Args:
        event: whose.
    """

    def __init__(self, event: Any) -> None:
        self.event = event
        self.client = Client()
        self.shop = f"/{event.organizer.slug}/{event.slug}"

    def buy(self, phone: str = RICH) -> Any:
        """Put a ticket into the cart, and go through the checkout; gives the last page."""
        with scopes_disabled():
            ticket = self.event.items.get()
        self.post("/cart/add", {f"item_{ticket.pk}": "1"})
        self.post("/checkout/questions/", {"email": "ana@example.com"})
        self.pay_with(phone)
        return self.post("/checkout/confirm/", {})

    def pay_with(self, phone: str) -> Any:
        """Choose M-Pesa in the checkout, and name a phone."""
        return self.post("/checkout/payment/", self._chosen(phone))

    def try_again(self, phone: str = RICH) -> Any:
        """Pay the order that was not paid once more."""
        url = f"/order/{self.order.code}/{self.order.secret}/pay/change"
        return self.client.post(
            self.post(url, self._chosen(phone)).request["PATH_INFO"], follow=True
        )

    def confirm(self, payment: Any) -> Any:
        """Confirm a payment of the order that was chosen before."""
        url = f"/order/{self.order.code}/{self.order.secret}/pay/{payment.pk}/confirm"
        return self.post(url, {})

    def look(self) -> str:
        """Open the order's page."""
        url = f"{self.shop}/order/{self.order.code}/{self.order.secret}/"
        return self.client.get(url).content.decode()

    def follow(self) -> Any:
        """Ask, as the page's script does."""
        url = f"{self.shop}/mpesa/{self.order.code}/{self.order.secret}/{self.payment.pk}/"
        return self.client.get(url)

    @property
    def order(self) -> Any:
        """The order, as it now is."""
        with scopes_disabled():
            return Order.objects.select_related("event__organizer").get(event=self.event)

    @property
    def payments(self) -> list[Any]:
        """The order's payments, as they now are."""
        with scopes_disabled():
            return list(self.order.payments.order_by("local_id"))

    @property
    def payment(self) -> Any:
        """The newest."""
        return self.payments[-1]

    @property
    def history(self) -> list[str]:
        """What is in the order's history, the newest first."""
        with scopes_disabled():
            return list(self.order.all_logentries().values_list("action_type", flat=True))

    def post(self, path: str, data: dict[str, str]) -> Any:
        return self.client.post(self.shop + path, data, follow=True)

    def _chosen(self, phone: str) -> dict[str, str]:
        return {"payment": "vodacom_mpesa", "payment_vodacom_mpesa-msisdn": phone}
