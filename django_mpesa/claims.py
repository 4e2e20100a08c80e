"""A step for migrations: payments that completed before there were claims claim their transaction.

`claimed_transaction_id` is what a database constraint keeps unique.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db import router
from django.db.models import Count, F

from mpesa_integrations.core.payments.lifecycle import MONEY_MOVED_STATES

_PAYMENTS = ("c2b", "b2c", "b2b")
_STATES = sorted(state.value for state in MONEY_MOVED_STATES)


class ClaimKnown:
    """A step for `migrations.RunPython`, after that which adds `claimed_transaction_id`.

    A transaction ID that more than one payment has is claimed by none of them: nothing shows whose
    it is.

    Args:
        model: the model of payments, as `shop.Payment`.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, apps: Any, schema_editor: Any) -> None:
        """Claim in the database that is being migrated, if the model is there."""
        model = apps.get_model(self._model)
        alias = schema_editor.connection.alias
        if model._meta.swapped or not router.allow_migrate_model(alias, model):
            return
        paid = (
            model._base_manager.using(alias)
            .filter(operation__in=_PAYMENTS, state__in=_STATES)
            .exclude(transaction_id="")
        )
        unclaimed = paid.filter(claimed_transaction_id=None).exclude(pk__in=_doubtful(paid))
        unclaimed.update(claimed_transaction_id=F("transaction_id"))


def _doubtful(paid: Any) -> list[Any]:
    """The keys of the payments whose transaction ID another one of their account has, too."""
    groups = paid.order_by().values("account", "transaction_id").annotate(rows=Count("pk"))
    found: list[Any] = []
    for group in groups.filter(rows__gt=1):
        same = paid.filter(account=group["account"], transaction_id=group["transaction_id"])
        # Counted again in Python: the database may take capitals for the same.
        rows = list(same.values_list("pk", "account", "transaction_id"))
        held = Counter((account, known_as) for _, account, known_as in rows)
        found += [pk for pk, *rest in rows if held[tuple(rest)] > 1]
    return found
