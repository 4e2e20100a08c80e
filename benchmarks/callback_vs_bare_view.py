"""The callback endpoint against a bare view that does one INSERT and one UPDATE in a transaction.

On PostgreSQL, each callback for a pending payment of its own, handed to the WSGI app: no web server
is measured. The bare view checks the token and no more. ratio = ours / the bare view. As
`…_senders_N`: N threads, and how many callbacks a second they get answered.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import django_site, flask_site
from .gateway import TOKEN
from .measure import Result, compare
from .rows import insert_payments

TARGET = 1.5
_EACH = 5
_PENDING = 10_000
_App = Callable[..., Any]


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a callback each; then several senders with 5 callbacks each."""
    yield from _django(smoke)
    yield from _flask(smoke)


def _django(smoke: bool) -> Iterator[Result]:
    with django_site.site("postgresql"):
        from django.core.handlers.wsgi import WSGIHandler
        from django.db import connections

        from django_mpesa.models import Transaction

        with connections["postgresql"].cursor() as cursor:
            insert_payments(cursor.execute, "django", 100 if smoke else _PENDING)
        yield from _compare("django", WSGIHandler(), smoke)
        assert Transaction.objects.filter(state="completed").exists()


def _flask(smoke: bool) -> Iterator[Result]:
    with flask_site.engine("postgresql") as engine:
        app = flask_site.app(engine)
        with engine.begin() as connection:
            insert_payments(connection.exec_driver_sql, "flask", 100 if smoke else _PENDING)
        yield from _compare("flask", app, smoke)


def _compare(framework: str, app: _App, smoke: bool) -> Iterator[Result]:
    name = f"callback_vs_bare_view.{framework}"
    numbers = itertools.count(1)
    ours = f"/mpesa/callback/{TOKEN}/"
    bare = f"/bare/{TOKEN}/"

    def send(path: str) -> Callable[[], None]:
        return lambda: _post(app, path, next(numbers))

    yield compare(name, send(ours), send(bare), rounds=2 if smoke else 400, target=TARGET)
    for senders in (1, 2) if smoke else (1, 8, 32):
        with ThreadPoolExecutor(senders) as pool:

            def send_all(path: str, pool: ThreadPoolExecutor = pool, count: int = senders) -> None:
                list(pool.map(lambda _: send(path)(), range(count * _EACH)))

            result = compare(
                f"{name}_senders_{senders}",
                lambda send_all=send_all: send_all(ours),  # type: ignore[misc]
                lambda send_all=send_all: send_all(bare),  # type: ignore[misc]
                rounds=1 if smoke else 9,
                calls=senders * _EACH,
            )
        more = {"senders": senders, "callbacks_per_second": round(1000 / result.a_ms, 1)}
        yield dataclasses.replace(result, more=more)


def _post(app: _App, path: str, number: int) -> None:
    body = json.dumps(
        {
            "input_OriginalConversationID": f"AG_{number}",
            "input_ThirdPartyReference": f"R{number}",
            "input_TransactionID": f"T{number}",
            "input_ResultCode": "0",
            "input_ResultDesc": "Request processed successfully",
        }
    ).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    answered: list[str] = []
    answer = app(environ, lambda status, headers, error=None: answered.append(status))
    b"".join(answer)
    answer.close()
    assert answered[0].startswith("200"), answered
