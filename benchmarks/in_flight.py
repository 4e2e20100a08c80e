"""Customers who all take their time at once: `await mpesa.ac2b()`, and payments a worker sends.

Recorded in PostgreSQL, with the extension for Flask. `a_ms` is the time until all are paid, and
`b_ms` what a single customer takes for the PIN. `kib_each` is the memory of a payment in flight,
`kib_each_in_a_thread` that of one that `mpesa.c2b()` waits for in a thread of its own. What
`flask mpesa worker` sends was queued before; its time begins when it has taken the first.

    python -m benchmarks in_flight                            200 customers who take 5 s
    MPESA_BENCH_CUSTOMERS=2000 MPESA_BENCH_SECONDS=20 python -m benchmarks in_flight
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import Engine

from flask_mpesa import Mpesa
from tests.flask.models import Payment

from . import flask_site
from .gateway import OPTIONS, served
from .measure import Result

TARGET = 1.5
_SITE = "MPESA_BENCH_SITE"
_PATIENCE = 300.0


def run(*, smoke: bool) -> Iterator[Result]:
    """Have them all pay at once, in each way."""
    customers = 5 if smoke else int(os.environ.get("MPESA_BENCH_CUSTOMERS", "200"))
    seconds = 0.2 if smoke else float(os.environ.get("MPESA_BENCH_SECONDS", "5"))
    with (
        flask_site.engine("postgresql") as engine,
        served("benchmarks.in_flight", str(seconds)) as port,
    ):
        app, mpesa = _shop(engine, port, seconds)
        with app.app_context():
            asyncio.run(_pay(mpesa, 1, seconds))  # what is made once
            took, awaited = asyncio.run(_pay(mpesa, customers, seconds))
            _, threaded = _pay_in_threads(app, mpesa, customers, seconds)
            sent, held = _pay_by_a_worker(mpesa, engine, port, customers, seconds)
        app.extensions["mpesa"].forget()
    yield Result(
        name="in_flight",
        a_ms=1000 * took,
        b_ms=1000 * seconds,
        target=TARGET,
        more={
            "customers": customers,
            "kib_each": round(awaited / customers, 1),
            "kib_each_in_a_thread": round(threaded / customers, 1),
        },
    )
    yield Result(
        name="in_flight.worker",
        a_ms=1000 * sent,
        b_ms=1000 * seconds,
        target=TARGET,
        more={"customers": customers, "kib_each": round(held / customers, 1)},
    )


def _shop(engine: Engine, port: int, seconds: float) -> tuple[Flask, Any]:
    settings = {
        **OPTIONS, "ENVIRONMENT": "local", "HOST": "127.0.0.1", "PORT": port, "SSL": False,
        "TIMEOUT": (60, 60 + seconds),
    }  # fmt: skip
    app = Flask("shop")
    app.config.update({f"MPESA_{name}": value for name, value in settings.items()}, TESTING=True)
    return app, Mpesa(app, records=flask_site.records(engine))


async def _pay(mpesa: Any, customers: int, seconds: float) -> tuple[float, int]:
    before, started = _kib(), time.perf_counter()
    calls = [
        asyncio.ensure_future(mpesa.ac2b(msisdn="841234567", amount=150, reference="BENCH"))
        for _ in range(customers)
    ]
    most = before
    waiting = set(calls)
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=seconds / 10)
        most = max(most, _kib())
    took = time.perf_counter() - started
    assert {call.result().state for call in calls} == {"completed"}
    return took, most - before


def _pay_in_threads(app: Flask, mpesa: Any, customers: int, seconds: float) -> tuple[float, int]:
    def pay(number: int) -> str:
        with app.app_context():
            return str(mpesa.c2b(msisdn="841234567", amount=150, reference="BENCH").state)

    before, started = _kib(), time.perf_counter()
    most = before
    with ThreadPoolExecutor(customers) as pool:
        calls = [pool.submit(pay, number) for number in range(customers)]
        while not all(call.done() for call in calls):
            time.sleep(seconds / 10)
            most = max(most, _kib())
        assert {call.result() for call in calls} == {"completed"}
    return time.perf_counter() - started, most - before


def site() -> Flask:
    """A worker's shop, with the database, port and seconds that the environment has."""
    url, port, seconds = json.loads(os.environ[_SITE])
    return _shop(create_engine(url, pool_size=40), port, seconds)[0]


@contextlib.contextmanager
def _worker(
    engine: Engine, port: int, seconds: float, customers: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, with so many prompts at a time."""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "flask", "--app", f"{__name__}:site", "mpesa", "worker"]
    with subprocess.Popen(
        [*command, "--concurrency", str(customers), "--stop-within", "1"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, _SITE: json.dumps([url, port, seconds])},
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _pay_by_a_worker(
    mpesa: Any, engine: Engine, port: int, customers: int, seconds: float
) -> tuple[float, int]:
    """The seconds since a worker took the first until all are paid, and its memory."""
    for _ in range(customers):
        mpesa.c2b(msisdn="841234567", amount=150, reference="WORKER", send="worker")
    deadline = time.monotonic() + _PATIENCE
    with _worker(engine, port, seconds, customers) as worker:
        while _count(engine, "queued") == customers:
            assert time.monotonic() < deadline, "the worker does not begin"
            time.sleep(0.02)
        before, started = _kib(worker.pid), time.perf_counter()
        most = before
        while _count(engine, "completed") < customers:
            assert time.monotonic() < deadline, "the worker has not sent them all"
            time.sleep(seconds / 200)
            most = max(most, _kib(worker.pid))
        return time.perf_counter() - started, most - before


def _count(engine: Engine, state: str) -> int:
    """How many of a worker's payments are in a state."""
    found = select(func.count()).where(Payment.reference == "WORKER", Payment.state == state)
    with engine.connect() as connection:
        return connection.scalar(found) or 0


def _kib(pid: int | str = "self") -> int:
    """The memory of a process in KiB; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


async def _serve(seconds: float) -> None:
    """Be a gateway whose customers take so long."""
    numbers = itertools.count(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split()[0]))
                number = next(numbers)
                await asyncio.sleep(seconds)
                body = json.dumps(
                    {"output_ResponseCode": "INS-0", "output_TransactionID": f"T{number}",
                     "output_ConversationID": f"AG_{number}"}
                ).encode()  # fmt: skip
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
