"""What holds for the whole suite."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .core.conftest import API_KEY, CALLBACK_TOKEN, SECURITY_CREDENTIAL
from .support.account import TOKEN

# No test is about time: a busy machine must not fail one, nor the first draw of a text, for which
# Hypothesis makes its table of characters.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_MSISDN = re.compile(r"(?<![0-9A-Za-z_])(258)?8[2-7][0-9]{7}(?![0-9A-Za-z])")
_OURS = ("mpesa_integrations", "django_mpesa", "flask_mpesa", "urllib3", "requests", "django")


_HERE = Path(__file__).parent
_SLOW = ("browser", "services", "shops")
"""Folders of tests that start a browser, a broker's worker or a whole shop."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what is in those folders. Other tests that `make test-fast` omits say so."""
    for item in items:
        if any(_HERE / folder in item.path.parents for folder in _SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    from .support.databases import empty_quickly  # Django is not there in every run

    with pytest.MonkeyPatch.context() as patch:
        empty_quickly(patch)
        yield


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
