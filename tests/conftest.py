"""What holds for the whole suite."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from .core.conftest import API_KEY, CALLBACK_TOKEN, SECURITY_CREDENTIAL
from .support.account import TOKEN

if TYPE_CHECKING:
    import pytest_django

    from mpesa_integrations.simulator import Simulator

# No test is about time: a busy machine must not fail one, nor the first draw of a text, for which
# Hypothesis makes its table of characters.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    if sys.version_info < (3, 11):
        # It takes a transport over TLS for open whose peer has closed it first, and warns of it.
        config.addinivalue_line(
            "filterwarnings", "ignore:unclosed transport <asyncio.sslproto:ResourceWarning"
        )


_MSISDN = re.compile(r"(?<![0-9A-Za-z_])(258)?8[2-7][0-9]{7}(?![0-9A-Za-z])")
_OURS = ("mpesa_integrations", "django_mpesa", "flask_mpesa", "urllib3", "requests", "django")


_HERE = Path(__file__).parent
_SLOW = {
    "browser", "services", "shops",
    "contract/test_hang_ups.py", "contract/test_leases.py", "contract/test_ownership_sqlalchemy.py",
    "core/test_leases.py", "core/test_proxy.py",
    "django/test_callback_url.py", "django/test_migrations.py", "django/test_portuguese.py",
    "django/test_use_tz.py",
    "flask/test_callback_url.py", "flask/test_databases.py",
    "simulator/test_accounts.py", "simulator/test_callbacks.py", "simulator/test_portal.py",
    "simulator/test_portal_apis.py", "simulator/test_portal_go_live.py",
    "simulator/test_portal_library.py", "simulator/test_portal_people.py",
    "simulator/test_portal_reports.py", "simulator/test_server.py",
}  # fmt: skip
"""Folders and files of tests that start a browser, a worker, a shop or a server, sign in to the
portal, or wait."""
_LONG = {
    "browser", "services", "shops/test_demo.py", "shops/test_stories.py",
    "simulator/test_crowd.py",
    "test_accounts_page.py", "test_benchmarks.py", "test_quickstarts.py",
}  # fmt: skip
"""Those that take many seconds of a core and look at all from outside: a customer's browser,
brokers, crowds, and what the documentation has people type."""

_HEAVY = {
    "contract/test_awaited.py", "contract/test_handlers.py", "contract/test_loaded_accounts.py",
    "contract/test_mixed_up.py", "contract/test_own_connections.py", "contract/test_poison.py",
    "contract/test_queue_sender.py", "contract/test_reconcile.py",
    "contract/test_time_runs_out.py", "contract/test_waiting.py", "core/test_transport.py",
    "django/test_admin.py", "django/test_admin_attention.py", "django/test_admin_callbacks.py",
    "django/test_admin_timeline.py", "django/test_app.py", "django/test_constraints.py",
    "django/test_resolution.py", "django/test_waiting.py",
    "flask/test_admin.py", "flask/test_admin_pages.py", "flask/test_commands.py",
    "flask/test_constraints.py", "flask/test_handlers.py", "flask/test_receivers.py",
    "simulator/test_listener.py", "simulator/test_phones.py", "simulator/test_steps.py",
    "sqlalchemy/test_accounts.py", "test_cli.py",
}  # fmt: skip
"""Those whose tests take nearly a tenth of a second each: an admin's pages, threads, sockets.
Every version of a framework runs them, as it does not all that is slow."""


_OMITTED = re.compile(r"not \(?(\w+(?: or \w+)*)\)?")
_PLACES = {"slow": _SLOW | _LONG, "long": _LONG, "heavy": _HEAVY}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import what a run omits by its marks, as in `-m 'not slow'`: half of a quick run."""
    found = _OMITTED.fullmatch(config.getoption("markexpr"))
    omitted = found[1].split(" or ") if found else []
    return any(_is_in(collection_path, mark) for mark in omitted) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow, long and heavy what is there; others say so themselves. What is long is slow.

    On a database server, what is slow and uses no database of the suite's is left out: a test's own
    project has SQLite.
    """
    for item in items:
        for mark in _PLACES:
            if _is_in(item.path, mark):
                item.add_marker(mark)
        if _is_said_by_others(item):
            item.add_marker(pytest.mark.long)
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
    if os.environ.get("MPESA_TEST_DATABASE", "sqlite") != "sqlite":
        away = [item for item in items if item.get_closest_marker("slow") and not _has_server(item)]
        config.hook.pytest_deselected(items=away)
        items[:] = [item for item in items if item not in away]


@cache
def _is_in(path: Path, mark: str) -> bool:
    """Whether a test's file, or a folder that it is in, is among those of a mark."""
    places = {_HERE / name for name in _PLACES.get(mark, ())}
    return not places.isdisjoint({path, *path.parents})


def _is_said_by_others(item: pytest.Item) -> bool:
    """Whether it awaits over SQLAlchemy: it awaits over Django, too, and blocks over both."""
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    return params.get("way") == "awaited" and params.get("backend") == "sqlalchemy"


def _has_server(item: pytest.Item) -> bool:
    found = {"backend", "server", "db", "transactional_db", "django_db_setup"}
    names: list[str] = getattr(item, "fixturenames", [])
    return item.get_closest_marker("django_db") is not None or not found.isdisjoint(names)


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[None]:
    # Django is not there in every run
    from .support.databases import commit_quickly, empty_quickly

    with django_db_blocker.unblock():
        commit_quickly()
    with pytest.MonkeyPatch.context() as patch:
        empty_quickly(patch)
        yield


@pytest.fixture(scope="session")
def _quick_passwords() -> Iterator[None]:
    """A hash of the portal's takes a tenth of a second, so that nobody tries out many passwords."""
    from werkzeug.security import generate_password_hash  # the extra is not there in every run

    from mpesa_integrations.simulator.portal import users

    with pytest.MonkeyPatch.context() as patch:
        quick = partial(generate_password_hash, method="scrypt:256:8:1")
        patch.setattr(users, "generate_password_hash", quick)
        yield


@pytest.fixture(scope="session")
def _mpesa_gateway(_quick_passwords: None, _mpesa_gateway: Simulator) -> Simulator:
    return _mpesa_gateway


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    """What a module leaves unclosed to the garbage collector fails that module.

    Else it fails whichever test is running when the collector comes to it. Of SQLite's connections
    Python says so since 3.13; it takes a tenth of a second.
    """
    yield
    if sys.version_info >= (3, 13):
        gc.collect()


@pytest.fixture(autouse=True)
def _no_secret_in_any_log(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Every test fails if a secret or a whole phone number shows in a log or a logged traceback."""
    gateway = None
    if "mpesa_simulator" in request.fixturenames:
        gateway = request.getfixturevalue("mpesa_simulator").credentials
    caplog.set_level(logging.DEBUG)
    yield
    secrets = [API_KEY, SECURITY_CREDENTIAL, CALLBACK_TOKEN, TOKEN, "Bearer "]
    if gateway is not None:
        secrets += [gateway.api_key, gateway.security_credential]
    formatter = logging.Formatter()
    for record in (*caplog.get_records("setup"), *caplog.get_records("call")):
        if not record.name.startswith(_OURS):
            continue
        text = formatter.format(record)
        for secret in secrets:
            assert secret not in text, f"a secret in the log of {record.name}: {text}"
        assert not _MSISDN.search(text), f"a phone number in the log of {record.name}: {text}"
