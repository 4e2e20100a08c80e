"""The Django admin's pages of payments with 1 M rows against 10 k, on PostgreSQL.

The report is over its default period, the last 30 days, with the same payments in both.
ratio = with 1 M / with 10 k.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial

from . import django_site
from .measure import Result, compare
from .rows import insert_payments, make_schema, use_schema

TARGET = 1.5
_LIST = "/admin/django_mpesa/transaction/"
_PAGES = {
    "list": _LIST,
    "list_page_20": f"{_LIST}?p=20",
    "list_filtered": f"{_LIST}?state__exact=completed",
    "list_of_a_year": f"{_LIST}?created_at__year={datetime.now(timezone.utc).year}",
    "search_by_phone": f"{_LIST}?q=258840000077",
    "search_by_transaction": f"{_LIST}?q=T77",
    "search_by_conversation": f"{_LIST}?q=AG_77",
    "search_by_reference": f"{_LIST}?q=ORDER+77",
    "search_for_nothing": f"{_LIST}?q=NOWHERE",
    "list_of_few": f"{_LIST}?state__exact=unknown",
    "list_needing_attention": f"{_LIST}?attention=any",
    "report": f"{_LIST}report/",
}


def run(*, smoke: bool) -> Iterator[Result]:
    """Load each page with both, round by round."""
    few, many = (2_500, 3_000) if smoke else (10_000, 1_000_000)
    with django_site.site("postgresql"):
        from django.contrib.auth import get_user_model
        from django.db import connections
        from django.test import Client

        client = Client()
        client.force_login(get_user_model().objects.create_superuser("ana", password="-"))
        with connections["postgresql"].cursor() as cursor:
            execute = cursor.execute
            for size in (few, many):
                make_schema(execute, f"rows_{size}")
                insert_payments(execute, "django", few, paid=True)
                # Further back, so that the report's 30 days hold the same in both.
                insert_payments(execute, "django", size, first=few + 1, paid=True, days_ago=60)

            def load(page: str, size: int) -> None:
                use_schema(execute, f"rows_{size}")
                assert client.get(page).status_code == 200

            for name, page in _PAGES.items():
                yield compare(
                    f"admin_list_scaling.{name}",
                    partial(load, page, many),
                    partial(load, page, few),
                    rounds=1 if smoke else 40,
                    target=TARGET,
                )
