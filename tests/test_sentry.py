"""What Sentry's SDK would send by default, of either framework, has no secret and no number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mpesa_integrations.core.redaction import remember_secrets
from mpesa_integrations.core.sentry import _Scrubber
from mpesa_integrations.simulator import Simulator

from .support.account import TOKEN, account_settings
from .support.reports import NUMBER, leaks

pytestmark = pytest.mark.slow

pytest.importorskip("sentry_sdk")


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_no_event_shows_a_secret(
    mpesa_simulator: Simulator, tmp_path: Path, framework: str
) -> None:
    config = mpesa_simulator.config
    mpesa_simulator.response_url = "https://127.0.0.1:18997/nobody"
    done = subprocess.run(
        [sys.executable, "-m", "tests.sentry_site", framework, str(tmp_path)],
        input=json.dumps(account_settings(mpesa_simulator)),
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    secrets = [config.api_key, str(config.security_credential), TOKEN, "Bearer"]
    for event in events:
        assert leaks(json.dumps(event, ensure_ascii=False), secrets) == []
    urls = [event.get("request", {}).get("url", "") for event in events]
    assert any("/mpesa/callback/" in url for url in urls)
    assert any("queryCustomerName" in json.dumps(event.get("breadcrumbs", {})) for event in events)
    assert any("frames" in json.dumps(event) for event in events)


def test_what_has_itself_in_it_costs_no_report_and_names_are_hidden_as_values_are() -> None:
    remember_secrets(TOKEN)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    extra: dict[str, Any] = {"deep": deep, NUMBER: TOKEN, "calls": [{TOKEN: f"258{NUMBER}"}]}
    extra["itself"] = extra["calls"][0]["back"] = extra
    event: dict[str, Any] = {"extra": extra, "message": f"for {TOKEN}"}
    _Scrubber(None).scrub_event(event)
    assert event["message"] == "for •••"
    assert leaks(json.dumps(event, ensure_ascii=False), [TOKEN]) == []
    assert event["extra"]["calls"][0]["•••"] == "25884•••0987"
    assert event["extra"]["itself"] == event["extra"]["calls"][0]["back"] == "•••"
