"""A site's page while 200 customers are at the prompt, against the same site while nobody pays.

Django with its records on PostgreSQL, two web workers, and payments that a worker sends
(`send="worker"`); the gateway keeps each waiting for a minute. The page is asked for through the
WSGI app, by both web workers at a time. ratio = with customers at the prompt / with none.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.settings.account import AccountSettings

from . import django_site
from .gateway import gateway
from .measure import Result, milliseconds

TARGET = 1.2
_WEB_WORKERS = 2
_PATIENCE = 60.0
_QUIET = 0.02
"""Seconds of the processor's in half a second."""


def run(*, smoke: bool) -> Iterator[Result]:
    """Measure the idle site before and after, and in between the one whose customers wait."""
    customers, pages = (5, 10) if smoke else (200, 400)
    with gateway(delay=5 if smoke else 60) as config, django_site.site("postgresql"):
        from django.core.handlers.wsgi import WSGIHandler

        from django_mpesa.models import Transaction
        from django_mpesa.notifier import SignalNotifier
        from django_mpesa.store import DjangoStore

        store, notifier = DjangoStore("default"), SignalNotifier(Transaction)
        payments: Any = Payments("default", AccountSettings(config=config), store, notifier)
        app = WSGIHandler()

        def page(_: int) -> float:
            return milliseconds(lambda: _get(app, "/admin/login/"))

        def ask(number: int) -> None:
            payments.c2b(msisdn="258841234567", amount=1, reference=f"R{number}", send="worker")

        with ThreadPoolExecutor(_WEB_WORKERS) as workers:
            list(workers.map(page, range(pages)))
            idle = list(workers.map(page, range(pages)))
            list(workers.map(ask, range(customers)))
            sender = payments.queue_sender(customers)
            deadline = time.monotonic() + _PATIENCE
            while sender.in_flight < customers:
                assert time.monotonic() < deadline, "the payments were not sent"
                sender.run_once()
            _until_all_are_connected()
            busy = list(workers.map(page, range(pages)))
            sender.run_once()
            assert sender.in_flight == customers, "they are at the prompt still"
            sender.finish(timeout=0)
            idle += workers.map(page, range(pages))
        payments.client.close()
    yield Result(
        name="page_while_prompts.django",
        a_ms=statistics.median(busy),
        b_ms=statistics.median(idle),
        target=TARGET,
        more={"customers": customers, "web_workers": _WEB_WORKERS},
    )


def _until_all_are_connected() -> None:
    """Wait until this process, which has made all those connections, does next to nothing."""
    deadline = time.monotonic() + _PATIENCE / 2
    used = _QUIET
    while used >= _QUIET:
        assert time.monotonic() < deadline, "the payments are still being sent"
        before = time.process_time()
        time.sleep(0.5)
        used = time.process_time() - before


def _get(app: Any, path: str) -> None:
    answered: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    answer = app(environ, lambda status, headers, error=None: answered.append(status))
    b"".join(answer)
    answer.close()
    assert answered[0].startswith("200"), answered
