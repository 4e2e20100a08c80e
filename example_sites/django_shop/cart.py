"""The basket: products and quantities in the session."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from .models import Product

_KEY = "basket"


@dataclass(frozen=True)
class CartLine:
    product: Product
    quantity: int

    @property
    def amount(self) -> Decimal:
        return self.product.price * self.quantity


class Cart:
    """A basket.

    Its token is another one after every change, and becomes that of the order: so one basket makes
    one order, however often it is sent, and what is paid is what was seen.
    """

    def __init__(self, session: SessionBase) -> None:
        self._session = session
        kept = session.get(_KEY, {})
        self._quantities: dict[str, int] = kept.get("quantities", {})
        self.token = uuid.UUID(kept["token"]) if kept else uuid.uuid4()

    def __len__(self) -> int:
        return sum(self._quantities.values())

    def quantity(self, product_id: int) -> int:
        return self._quantities.get(str(product_id), 0)

    def put(self, product_id: int, quantity: int) -> None:
        """Have so many of a product in it; 0 takes it out."""
        self._quantities.pop(str(product_id), None)
        if quantity:
            self._quantities[str(product_id)] = quantity
        self.token = uuid.uuid4()
        self._session[_KEY] = {"token": str(self.token), "quantities": self._quantities}

    def clear(self) -> None:
        self._session.pop(_KEY, None)

    @property
    def lines(self) -> list[CartLine]:
        products = Product.objects.filter(pk__in=self._quantities)
        return [CartLine(product, self.quantity(product.pk)) for product in products]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))


def context(request: HttpRequest) -> dict[str, Any]:
    """The basket, for every template."""
    return {"cart": Cart(request.session)}
