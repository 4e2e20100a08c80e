"""What holds for the whole suite."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from .core.conftest import API_KEY, CALLBACK_TOKEN, SECURITY_CREDENTIAL

# No test is about time: a busy machine must not fail one, nor the first draw of a text, for which
# Hypothesis makes its table of characters.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_MSISDN = re.compile(r"(?<![0-9A-Za-z_])(258)?8[2-7][0-9]{7}(?![0-9A-Za-z])")
_TOKEN = "a-callback-token-of-more-than-32-characters"
_OURS = ("mpesa_integrations", "django_mpesa", "flask_mpesa", "urllib3", "requests", "django")


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
    secrets = [API_KEY, SECURITY_CREDENTIAL, CALLBACK_TOKEN, _TOKEN, "Bearer "]
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
