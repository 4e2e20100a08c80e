"""Views that are coroutines, under uvicorn: crowds, customers who leave, tasks that stay."""

from __future__ import annotations

import gc
import itertools
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import django
import pytest
import requests
import uvicorn
from django.core.asgi import get_asgi_application
from pytest_django import Settings

from django_mpesa.models import Transaction
from mpesa_integrations.simulator import Simulator
from tests.core.faulty import FaultyServer, faulty_server, paid_answer
from tests.support.account import account_settings
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class Customers:
    """A gateway whose customers all take their time, until they are told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.numbers = itertools.count(1)
        self.asked = 0

    def __call__(self, connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        number = self.asked = next(self.numbers)
        while not (self.go_on.wait(0.05) or server.stopping.is_set()):
            pass
        connection.sendall(paid_answer(number))


@pytest.fixture
def customers(mpesa_simulator: Simulator, settings: Settings) -> Iterator[Customers]:
    found = Customers()
    with faulty_server(found) as server:
        account = account_settings(
            mpesa_simulator, HOST="127.0.0.1", PORT=server.port, SSL=False, TIMEOUT=(30, 30)
        )
        settings.MPESA = {"default": account}
        settings.ROOT_URLCONF = "tests.django.async_urls"
        yield found
        found.go_on.set()


@contextmanager
def serving() -> Iterator[str]:
    config = uvicorn.Config(get_asgi_application(), port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
        gc.collect()  # a connection that was left open in a thread is told of here


@pytest.fixture
def site(customers: Customers) -> Iterator[str]:
    with serving() as address:
        yield address


def _get(address: str) -> str:
    return requests.get(address, timeout=60).text


def test_a_crowd_pays_at_once(site: str, customers: Customers) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(_get, f"{site}/pay/{number}") for number in range(40)]
        until(lambda: customers.asked == 40)
        assert _get(f"{site}/pay/7") == "initiated"  # that order's payment is under way
        customers.go_on.set()
        assert {one.result() for one in answers} == {"completed"}
    assert Transaction.objects.filter(state="completed").count() == 40


def test_a_customer_who_leaves_loses_nothing(site: str, customers: Customers) -> None:
    host, port = site.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as customer:
        customer.sendall(b"GET /pay/A HTTP/1.1\r\nHost: shop\r\n\r\n")
        until(lambda: customers.asked)
    if django.VERSION < (5, 0):  # where the view is not cancelled
        customers.go_on.set()
        until(lambda: Transaction.objects.get().state == "completed")
        return
    until(lambda: Transaction.objects.get().state == "unknown")
    record = Transaction.objects.get()
    assert record.response_description == "Cancelled while the answer was waited for"
    assert record.next_check_at is not None
    assert not record.may_retry


# Django may close the request's connection between two steps of a task that goes on: the next step
# then opens one in a thread that is about to end, and Python closes that.
_outlives = pytest.mark.filterwarnings(
    "ignore:unclosed database:ResourceWarning", "ignore:.*deleted while still open:ResourceWarning"
)


@_outlives
def test_a_task_that_outlives_its_request_is_recorded(site: str, customers: Customers) -> None:
    assert _get(f"{site}/later/A") == "later"
    until(lambda: customers.asked)
    customers.go_on.set()
    until(lambda: Transaction.objects.get().state == "completed")


@_outlives
def test_what_is_under_way_when_the_server_stops_is_recorded(customers: Customers) -> None:
    with serving() as site:
        assert _get(f"{site}/later/A") == "later"
        until(lambda: customers.asked)
    assert Transaction.objects.get().state == "unknown"


def test_a_view_that_blocks_is_told_so_and_one_in_a_thread_pays(
    site: str, customers: Customers
) -> None:
    assert "await mpesa.ac2b()" in _get(f"{site}/blocking/A")
    assert Transaction.objects.count() == 0
    customers.go_on.set()
    assert _get(f"{site}/thread/A") == "completed"
