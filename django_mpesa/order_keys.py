"""A shop's own objects as orders: by what key their payments are found."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from mpesa_integrations.core.payments.order_attempts import OrderAttempts
from mpesa_integrations.core.payments.orders import Order, order_of_key, refuse_order
from mpesa_integrations.core.payments.ownership import refuse_unsaved

from .protection import shop_fields

PREFETCHED = "_prefetched_objects_cache"
"""Where Django keeps what was prefetched for an object, until the object is refreshed."""


def order_of_object(model: type[Model], order: object) -> Order:
    """Read an order that is an object of the shop's: it is then what its payment is for.

    What was prefetched of its payments is forgotten, since they are about to change.

    Args:
        model: the model of payments.
        order: a saved object. A column of the model's own that is called `order` refers to it, too.

    Raises:
        ValidationError: it is no object of a model, was not saved, or its key is too long.
    """
    if not isinstance(order, Model):
        refuse_order(order)
    if order.pk is None:
        raise refuse_unsaved("order")
    read = order_of_key(key_of_object(order))
    if read is None:
        refuse_order(order)
    _forget_prefetched(order)
    own = {"order": order} if "order" in shop_fields(model) else {}
    return Order(key=read.key, reference=str(order.pk), columns={"paid_for": order, **own})


def key_of_object(order: Model) -> str:
    """By what the payments of an object are found: its model and its primary key; "" without one.

    A proxy's objects are those of its model. A model that inherits from another one with a table of
    its own has orders of its own, also where both have the primary key in common.
    """
    if order.pk is None:
        return ""
    model: Any = order._meta.concrete_model
    return f"{model._meta.label_lower}:{order.pk}".strip()  # as `order_of_key` reads it


def _forget_prefetched(order: Model) -> None:
    prefetched = vars(order).get(PREFETCHED, {})
    for name in [n for n, value in prefetched.items() if isinstance(value, OrderAttempts)]:
        del prefetched[name]
