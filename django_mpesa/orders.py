"""The payments of a shop's own objects, read from these; what makes them orders is `order_keys`.

class Order(models.Model):
    mpesa = OrderPayments()

order.mpesa.state, order.mpesa.amount_paid, order.mpesa.attempts
Order.objects.prefetch_related("mpesa")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from django.db import router
from django.db.models import Model

from mpesa_integrations.core.payments.order_attempts import OrderAttempts

from .accounts import mpesa
from .isolation import run_isolated
from .order_keys import PREFETCHED, key_of_object
from .protection import LibraryRecords
from .swapping import get_transaction_model

if TYPE_CHECKING:
    from .models import AbstractTransaction

    # The type checker reads this module before it knows the types of the models' fields.
    _Attempts: TypeAlias = OrderAttempts[AbstractTransaction]  # type: ignore[type-var]

__all__ = ["OrderAttempts", "OrderPayments"]


class OrderPayments:
    """An attribute of a shop's model that reads the payments of each object that `order=` named.

    It is no field: it needs no migration, and an order that is deleted takes no payment with it. An
    object's payments are read when the attribute is, by one query, and kept in what that gives,
    never in the object: the next `order.mpesa` reads them anew. `prefetch_related("mpesa")` reads
    those of all objects by one query, and each object keeps its own until `refresh_from_db()`, or
    until it is given as `order=` again. All are read as committed, as `mpesa.attempts` reads them:
    inside `atomic()` on a connection of its own.

    Args:
        account: whose payments; None: those of all accounts.

    Raises:
        TypeError: it is in a class that is no model.
        RecordsUnavailable: when it is read, the payments' database cannot be.
    """

    def __init__(self, *, account: str | None = None) -> None:
        self._account = account
        self._name = self._kept_as = ""

    def __set_name__(self, owner: type, name: str) -> None:
        if not issubclass(owner, Model):
            raise TypeError(f"{owner.__name__}.{name}: only a model's objects have payments")
        self._name = name
        # Of what is kept by the attribute's own name, Django expects that it is many objects.
        self._kept_as = f"{name} of {__name__}"

    @overload
    def __get__(self, order: None, owner: type) -> OrderPayments: ...

    @overload
    def __get__(self, order: Model, owner: type) -> _Attempts: ...

    def __get__(self, order: Model | None, owner: type) -> OrderPayments | _Attempts:
        """Give an object's payments, as prefetched or else as they are now."""
        if order is None:
            return self
        if self.is_cached(order):
            prefetched: _Attempts = vars(order)[PREFETCHED][self._kept_as]
            return prefetched
        return self._read([order])[0]

    def __set__(self, order: Model, value: object) -> None:
        """Keep what was prefetched; Django sets nothing else.

        Raises:
            TypeError: it is anything else.
        """
        if not isinstance(value, OrderAttempts):
            raise TypeError(f"{self._name} is read from the payments, and cannot be set")
        vars(order).setdefault(PREFETCHED, {})[self._kept_as] = value

    def is_cached(self, order: Model) -> bool:
        """Whether an object's payments were prefetched; Django asks."""
        return self._kept_as in vars(order).get(PREFETCHED, ())

    def get_prefetch_querysets(
        self, instances: Sequence[Model], querysets: Sequence[Any] | None = None
    ) -> tuple[Iterable[_Attempts], Callable[[Any], str], Callable[[Any], str], bool, str, bool]:
        """Read the payments of many objects, for Django's prefetch_related().

        Raises:
            ValueError: a queryset was given to choose them by.
        """
        if querysets:
            raise ValueError(
                f'Prefetch("{self._name}") takes no queryset: where an order stands is known from '
                "all of its payments"
            )
        return self._read(instances), _key_of_attempts, key_of_object, True, self._name, True

    def get_prefetch_queryset(self, instances: Sequence[Model], queryset: Any = None) -> Any:
        """The same, as Django 4.2 asks for it."""
        return self.get_prefetch_querysets(instances, None if queryset is None else [queryset])

    def _read(self, orders: Iterable[Model]) -> list[_Attempts]:
        """The payments of objects, one after another, each key once; by one query, or none."""
        found: dict[str, list[AbstractTransaction]] = {key_of_object(order): [] for order in orders}
        saved = [key for key in found if key]
        if saved:
            model = get_transaction_model()
            # The database that is written to: a replica may not know yet what was just done.
            alias = router.db_for_write(model)
            which = {"order_key__in": saved, "operation": "c2b"}
            if self._account is not None:
                which["account"] = self._account
            records = LibraryRecords[Any](model, using=alias).filter(**which)
            in_order = records.order_by("created_at", "pk")
            for record in run_isolated(alias, lambda: list(in_order), writes=False):
                found.get(record.order_key, []).append(mpesa.expire_overdue(record))
        return [OrderAttempts(key=key, attempts=found[key]) for key in found]  # type: ignore[type-var]


def _key_of_attempts(attempts: _Attempts) -> str:
    return attempts.key
