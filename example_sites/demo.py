"""`make demo`: a first payment, then a purchase in each shop, which is paid asynchronously."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.table import Table

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.account import ACCOUNT_FILE

from . import first_payment
from .browser import Browser, Page
from .first_payment import console, show_ledger
from .https_server import CA_FILE, HOST, PORT_TAKEN, free_port

DIRECTORY = Path(".demo")
_PATIENCE = 60.0
"""Seconds for what takes one or two on an idle machine."""


def choose_in_django(browser: Browser) -> Page:
    """Put the first product in the basket, and go to the checkout."""
    page = browser.get("/")
    browser.submit(page, page.form(action="/basket/"))
    return browser.get("/checkout/")


def choose_in_flask(browser: Browser) -> Page:
    """Order two of the menu's first, and come to the order's page."""
    page = browser.get("/")
    return browser.submit(page, page.form("galao"), galao="2")


def choose_in_fastapi(browser: Browser) -> Page:
    """Book two seats of a trip, and come to the booking's page."""
    page = browser.get("/")
    return browser.submit(page, page.form("seats"), trip="catembe", seats="2")


@dataclass(frozen=True)
class Site:
    """One of the example sites.

    Attributes:
        framework: its name, to be shown.
        module: as in `python -m module serve`.
        port: the preferred one; its gateway's is the next.
        reconcile: its command that reconciles.
        worker: its command that does all that no request does.
        choose: chooses something, and comes to the page that asks for a phone number.
        owner: what its admin asks for beside the password; "" where that is all, and None where
            there is no admin.
    """

    framework: str
    module: str
    port: int
    reconcile: tuple[str, ...]
    worker: tuple[str, ...]
    choose: Callable[[Browser], Page]
    owner: str | None


# SQLite does not wake a worker, so it looks often.
_OFTEN = ("--poll", "0.2")
DJANGO = Site(
    framework="Django",
    module="example_sites.django_shop",
    port=12000,
    reconcile=("mpesa_reconcile",),
    worker=("mpesa_worker", *_OFTEN),
    choose=choose_in_django,
    owner="admin",
)
FLASK = Site(
    framework="Flask",
    module="example_sites.flask_shop",
    port=13000,
    reconcile=("mpesa", "reconcile"),
    worker=("mpesa", "worker", *_OFTEN),
    choose=choose_in_flask,
    owner="",
)
FASTAPI = Site(
    framework="FastAPI",
    module="example_sites.fastapi_shop",
    port=14000,
    reconcile=("reconcile",),
    worker=("worker", *_OFTEN),
    choose=choose_in_fastapi,
    owner=None,
)
SHOPS = (DJANGO, FLASK, FASTAPI)


@dataclass(frozen=True)
class Shop:
    """A shop that is running in a process of its own.

    Attributes:
        site: what is running.
        url: of its first page.
        directory: its database and certificates.
        environment: what its commands need.
        callback_token: the secret part of its callback URL.
        admin_password: of its owner, for the admin.
    """

    site: Site
    url: str
    directory: Path
    environment: dict[str, str]
    callback_token: str
    admin_password: str

    @property
    def callback_url(self) -> str:
        """What the account's asynchronous response URL is to be."""
        return f"{self.url}/mpesa/callback/{self.callback_token}/"

    def browser(self, language: str = "en") -> Browser:
        """Make a browser that trusts the shop's certificate."""
        return Browser(self.url, self.directory / CA_FILE, language)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of its commands, as `serve`; Ctrl-C on the terminal does not reach it."""
        command = [sys.executable, "-m", self.site.module, *arguments]
        return subprocess.Popen(command, env=self.environment, start_new_session=True)  # noqa: S603

    def run(self, *arguments: str) -> None:
        """Run one of its commands to its end.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        command = [sys.executable, "-m", self.site.module, *arguments]
        subprocess.run(command, env=self.environment, check=True, timeout=_PATIENCE)  # noqa: S603


@contextmanager
def running(
    site: Site,
    account_file: Path,
    directory: Path,
    port: int | None = None,
    *,
    has_worker: bool = False,
) -> Iterator[Shop]:
    """Serve a shop over HTTPS.

    Args:
        site: which shop.
        account_file: the local gateway's `account.json`.
        directory: where the shop keeps its things.
        port: the preferred one; None means any.
        has_worker: whether a worker runs beside it; the Django shop's payments are then its to
            send.
    """
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        shop = _shop(site, account_file, directory.absolute(), free_port(port))
        shop.environment["SHOP_SEND"] = "worker" if has_worker else "now"
        with serving(shop) as served:
            if served:
                with working(shop) if has_worker else nullcontext():
                    yield shop
                return


@contextmanager
def serving(shop: Shop) -> Iterator[bool]:
    """Serve a shop, for the first time or again; gives False where its port was taken meanwhile."""
    server = shop.start("serve")
    try:
        yield _wait_until_served(shop, server)
    finally:
        _end(server)


@contextmanager
def working(shop: Shop) -> Iterator[None]:
    """Run a shop's worker beside it."""
    worker = shop.start(*shop.site.worker)
    try:
        yield
    finally:
        _end(worker)


def _shop(site: Site, account_file: Path, directory: Path, port: int) -> Shop:
    token, password = secrets.token_urlsafe(32), secrets.token_urlsafe(9)
    environment = {
        **os.environ,
        "SHOP_DIRECTORY": str(directory),
        "SHOP_PORT": str(port),
        "SHOP_SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_SETTINGS_MODULE": f"{site.module}.settings",
        "DJANGO_SUPERUSER_PASSWORD": password,
        "SHOP_ADMIN_PASSWORD": password,
        "MPESA_ACCOUNT_FILE": str(account_file.absolute()),
        "MPESA_CALLBACK_TOKEN": token,
    }
    return Shop(site, f"https://{HOST}:{port}", directory, environment, token, password)


def buy(shop: Shop) -> None:
    """Buy something through the shop's pages, as a browser does.

    Raises:
        SystemExit: it was not paid.
    """
    with shop.browser() as browser:
        page = shop.site.choose(browser)
        console.print("Chose something, and came to the page that asks for a phone number")
        page = browser.submit(page, page.form("msisdn"), msisdn="84 123 4567")
        console.print(f"Typed a phone number, and came to {page.url}")
        deadline = time.monotonic() + _PATIENCE
        said = ""
        while page.shown != "completed":
            told = browser.json(page.asks) if page.asks else {"message": said}
            if told["message"] != said:
                said = told["message"]
                console.print(f"The page says: {said}")
            if time.monotonic() > deadline:
                raise SystemExit("The purchase was not paid")
            time.sleep(0.1)
            page = browser.get(page.url)
        console.print("The page says that it is paid")


@contextmanager
def opened(site: Site) -> Iterator[tuple[Shop, Simulator]]:
    """Open a shop with a gateway of its own, buy something in it, and show what that did."""
    directory = DIRECTORY / site.module.rpartition(".")[2]
    data = directory / "data"
    shutil.rmtree(data, ignore_errors=True)
    console.rule(f"A shop in {site.framework}, paid asynchronously")
    # A gateway of its own, since an account has one asynchronous response URL.
    with Simulator(directory / "gateway", port=free_port(site.port + 1)) as simulator:
        simulator.reset()
        account_file = simulator.state_dir / ACCOUNT_FILE
        with running(site, account_file, data, site.port, has_worker=True) as shop:
            simulator.response_url = shop.callback_url
            buy(shop)
            shop.run("show")
            show_ledger(simulator)
            yield shop, simulator


def go_on(shops: list[tuple[Shop, Simulator]]) -> None:
    """Leave the shops open until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    console.rule("Open until Ctrl-C; the certificates are the demo's own, so a browser warns")
    console.print(_addresses(shops))
    console.print("Phone numbers that refuse, cancel or keep silent: docs/simulator.md")
    stop.wait()


def _addresses(shops: list[tuple[Shop, Simulator]]) -> Table:
    """What is open, where, and how to sign in."""
    table = Table("what", "address", "sign in with")
    for shop, simulator in shops:
        name, site = f"{shop.site.framework} shop", shop.site
        portal = simulator.portal_account
        table.add_row(name, f"{shop.url}/", "nothing")
        if site.owner is not None:
            table.add_row(
                "  its admin", f"{shop.url}/admin/", f"{site.owner} {shop.admin_password}".strip()
            )
        table.add_row(
            "  its gateway's portal", simulator.portal_url, f"{portal.email} {portal.password}"
        )
    return table


def _wait_until_served(shop: Shop, server: subprocess.Popen[bytes]) -> bool:
    """Wait until pages come; False where another program has taken the port meanwhile."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.poll() == PORT_TAKEN:
            return False
        if server.returncode is not None:
            raise SystemExit(f"{shop.site.module} ended with exit code {server.returncode}")
        try:
            with shop.browser() as browser:
                browser.get("/")
        except (requests.ConnectionError, OSError):
            time.sleep(0.05)  # not listening yet, or its certificate is not made yet
        else:
            return True
    raise SystemExit(f"{shop.site.module} did not answer in {_PATIENCE:.0f} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the purchases")
    once = parser.parse_args().once
    # So that whatever was started is ended, too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    first_payment.main()
    with ExitStack() as stack:
        shops = [stack.enter_context(opened(site)) for site in SHOPS]
        if not once:
            go_on(shops)


if __name__ == "__main__":
    main()
