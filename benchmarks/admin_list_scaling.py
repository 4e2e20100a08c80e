"""Do the admin's list and search take as long with 1,000,000 payments as with 10,000?

    python -m benchmarks.admin_list_scaling
    MPESA_TEST_DATABASE=postgresql python -m benchmarks.admin_list_scaling

It fills a database of its own, which is dropped at the end, asks for the same pages with both
numbers of rows, and prints one line of JSON: `a_ms` and `b_ms` are the sums of the pages' shortest
times, which other work on the machine disturbs least; `ratio` is b/a. Each page's times, and the
plans of its queries, go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import (  # noqa: E402
    CaptureQueriesContext,
    get_runner,
    setup_test_environment,
)

from django_mpesa.models import Transaction  # noqa: E402

SMALL, LARGE = 10_000, 1_000_000
REPEATS = 25
LIST = "/admin/django_mpesa/transaction/"
PAGES = {
    "list": "",
    "page 20": "?p=20",
    "search by phone number": "?q=84+000+5000",
    "search by reference": "?q=ORDER+5000",
    "search by third-party reference": "?q=TPR5000",
    "search by transaction ID": "?q=TX5000",
    "search by conversation ID": "?q=AG_5000",
    "search for nothing": "?q=NOWHERE",
    "filter by state, many": "?state__exact=completed",
    "filter by state, few": "?state__exact=unknown",
    "report of two days": "report/?start=2026-01-01&end=2026-01-02",
    "a day": "?created_at__year=2026&created_at__month=1&created_at__day=2",
}
_NUMBERS = {
    "postgresql": "SELECT n FROM generate_series(%s, %s) AS n",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM c WHERE n < %s)"
    " SELECT n FROM c",
}
# A payment a minute, backwards from one moment, so that both sizes have the newest ones in common.
_CREATED = {
    "postgresql": "timestamptz '2026-01-03 00:00:00+00' - n * interval '1 minute'",
    "sqlite": "datetime('2026-01-03 00:00:00', '-' || n || ' minutes')",
}
_FILL = """
INSERT INTO django_mpesa_transaction (account, operation, state, amount, reversed_amount, currency,
  msisdn, receiver_shortcode, reference, third_party_reference, conversation_id, transaction_id,
  response_code, response_description, conflict, created_at, updated_at, checks, metadata,
  object_id)
SELECT 'default', CASE WHEN n %% 10 = 0 THEN 'b2c' ELSE 'c2b' END,
  CASE WHEN n < 10000 AND n %% 2000 = 1 THEN 'unknown' WHEN n %% 5 = 0 THEN 'failed'
    ELSE 'completed' END,
  1 + n %% 1000, 0, 'MZN', CAST(258840000000 + n AS text), '', 'ORDER ' || n, 'TPR' || n,
  'AG_' || n, 'TX' || n, 'INS-0', 'Request processed successfully', '', {created}, {created},
  0, '{{}}', ''
FROM ({numbers}) AS numbers
"""


def fill(first: int, last: int) -> None:
    vendor = connection.vendor
    statement = _FILL.format(numbers=_NUMBERS[vendor], created=_CREATED[vendor])
    with connection.cursor() as cursor:
        cursor.execute(statement, [first, last])
        cursor.execute("VACUUM ANALYZE" if vendor == "postgresql" else "ANALYZE")


def measure(client: Client) -> dict[str, tuple[float, list[dict[str, str]]]]:
    found = {}
    for name, query in PAGES.items():
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            answer = client.get(LIST + query)
            times.append((time.perf_counter() - start) * 1000)
            assert answer.status_code == 200, query
        with CaptureQueriesContext(connection) as caught:
            client.get(LIST + query)
        found[name] = (min(times), caught.captured_queries)
    return found


def explain(statement: str) -> str:
    verb = "EXPLAIN ANALYZE" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        # Captured with its parameters filled in.
        cursor.execute(f"{verb} {statement}".replace("%", "%%"), [])
        return "\n".join("      " + str(row[-1]) for row in cursor.fetchall())


def report(small: dict[str, Any], large: dict[str, Any]) -> None:
    for name, (milliseconds, queries) in large.items():
        before = small[name][0]
        print(f"{name}: {before:.1f} ms, {milliseconds:.1f} ms, {len(queries)} queries",
              file=sys.stderr)  # fmt: skip
        for query in queries:
            if "django_mpesa_transaction" not in query["sql"] or "permission" in query["sql"]:
                continue
            print(f"    {query['time']} s: {query['sql'][:90]}…", file=sys.stderr)
            print(explain(query["sql"]), file=sys.stderr)


def main() -> None:
    runner = get_runner(django.conf.settings)(verbosity=0, interactive=False)
    setup_test_environment(debug=False)
    if connection.vendor == "postgresql":  # not the one that tests may be using meanwhile
        connection.settings_dict["TEST"]["NAME"] = "mpesa_admin_list_scaling"
    databases = runner.setup_databases()
    try:
        client = Client()
        client.force_login(User.objects.create_superuser("boss"))
        client.get(LIST)  # what is loaded once
        fill(1, SMALL)
        assert Transaction.objects.count() == SMALL
        small = measure(client)
        fill(SMALL + 1, LARGE)
        assert Transaction.objects.count() == LARGE
        large = measure(client)
        report(small, large)
    finally:
        runner.teardown_databases(databases)
    a, b = (sum(page[0] for page in pages.values()) for pages in (small, large))
    line = {"name": "admin_list_scaling", "ratio": round(b / a, 3), "a_ms": round(a, 1),
            "b_ms": round(b, 1), "database": connection.vendor}  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
