"""What README and docs say is run: every Python block, every command."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from click.testing import CliRunner
from django.test import RequestFactory, override_settings
from flask import Flask
from pytest_django import Settings
from sqlalchemy import select
from sqlalchemy.orm import Session

import django_mpesa
from mpesa_integrations import CODES, Kind, MpesaConfig
from mpesa_integrations.cli import main
from mpesa_integrations.core.payments.events import CALLBACK_REJECTED, HANDLER_FAILED, Event
from mpesa_integrations.core.payments.lifecycle import Evidence, State
from mpesa_integrations.core.payments.records import Verdict
from mpesa_integrations.core.settings.account import ACCOUNT_SETTINGS
from mpesa_integrations.simulator import Simulator

from .flask.conftest import flat_config
from .support.account import TOKEN, account_settings

ROOT = Path(__file__).parents[1]
FOLLOWED = {*(ROOT / "docs").glob("**/quickstart-*.md"), *(ROOT / "docs").glob("**/oscar.md")}
"""Pages that tests/test_quickstarts.py and tests/oscar follow."""
PACKAGES = ["mpesa_integrations", "django_mpesa", "flask_mpesa", "tests"]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").glob("**/*.md")) if page not in FOLLOWED),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def _blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def _in_its_own_words(page: Path, language: str) -> bool:
    """Whether its blocks are not those of the English page: what is the same is run once."""
    twin = page.parents[1] / page.name
    if page.parent.name != "pt":
        return True
    return _without_comments(page, language) != _without_comments(twin, language)


def _without_comments(page: Path, language: str) -> list[str]:
    blocks = _blocks(page, language)
    return [ast.dump(ast.parse(text)) for text in blocks] if language == "python" else blocks


def _pages_with(language: str) -> list[Any]:
    return [
        pytest.param(page, id=name)
        for page, name in zip(PAGES, IDS, strict=True)
        if _blocks(page, language) and _in_its_own_words(page, language)
    ]


@pytest.fixture
def project(tmp_path: Path, mpesa_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's directory: a gateway has been started in it, and the account is configured."""
    shutil.copytree(mpesa_simulator.state_dir, tmp_path / ".mpesa-simulator")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPESA_API_KEY", mpesa_simulator.account.api_key)
    monkeypatch.setenv("MPESA_PUBLIC_KEY", mpesa_simulator.account.public_key)
    monkeypatch.setenv("MPESA_CALLBACK_TOKEN", TOKEN)
    return tmp_path


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", _pages_with("python"))
def test_every_python_block_runs(
    page: Path,
    project: Path,
    mpesa_simulator: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.MPESA = {"default": account_settings(mpesa_simulator)}
    monkeypatch.setattr(django_mpesa.mpesa._handlers, "_handlers", {})
    namespace: dict[str, object] = {"__name__": "documented"}
    for name, value in flat_config(mpesa_simulator).items():
        if isinstance(value, (str, int)):
            monkeypatch.setenv(f"FLASK_{name}", str(value))
    for number, block in enumerate(_blocks(page, "python")):
        if "def test_" in block:
            (project / f"test_block_{number}.py").write_text(block)
        else:
            exec(compile(block, f"{page.name}, Python block {number}", "exec"), namespace)
    if any(project.glob("test_block_*.py")):
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django",
             str(project)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    app = namespace.get("app")
    if isinstance(app, Flask):
        _pay_in(app, namespace)


def _pay_in(app: Flask, namespace: dict[str, Any]) -> None:
    """The documented app takes a payment, once for an order."""
    for _ in range(2):
        answer = app.test_client().post("/pay/T1", data={"phone": "84 123 4567"})
        assert answer.json == {
            "state": "completed", "message": "We have received 150.00 MZN. Thank you."
        }  # fmt: skip
    with app.app_context():
        engine = namespace["engine"] if "engine" in namespace else namespace["db"].engine
    with Session(engine) as session:
        of_the_order = select(namespace["Payment"]).where(namespace["Payment"].order_key == "T1")
        assert len(session.scalars(of_the_order).all()) == 1
    engine.dispose()
    app.extensions["mpesa"].forget()


@pytest.mark.django_db(transaction=True)
def test_the_documented_django_view_that_awaits_takes_a_payment(mpesa_simulator: Simulator) -> None:
    namespace: dict[str, Any] = {}
    exec(_blocks(ROOT / "docs" / "async.md", "python")[0], namespace)
    request: Any = RequestFactory().post("/", {"phone": "84 123 4567"})
    request.LANGUAGE_CODE = "en"
    with override_settings(MPESA={"default": account_settings(mpesa_simulator)}):
        answer = async_to_sync(namespace["pay"])(request, order_id="T1")
        assert json.loads(answer.content)["state"] == "completed"


@pytest.mark.long
@pytest.mark.parametrize("page", _pages_with("console"))
def test_every_command_runs(page: Path, project: Path, mpesa_simulator: Simulator) -> None:
    for block in _blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                _run(shlex.split(line.removeprefix("$ ")), mpesa_simulator)


def test_the_tables_are_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    fill = importlib.import_module("generate").fill
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert fill(text) == text, f"{page.name} is old: run make docs"


def test_every_setting_state_signal_and_verdict_is_documented() -> None:
    pages = {
        "settings.md": [f.name.upper() for f in fields(MpesaConfig)] + [*ACCOUNT_SETTINGS],
        "signals.md": [*Event, CALLBACK_REJECTED, HANDLER_FAILED],
        "callbacks.md": [verdict for verdict in Verdict if verdict is not Verdict.RECEIVED],
        "lifecycle.md": [*State, *Evidence, *Kind],
        "codes.md": [*CODES],
    }
    for name, words in pages.items():
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert not [word for word in words if f"`{word!s}`" not in page], name


def test_each_section_that_the_code_names_is_there() -> None:
    texts = [
        path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in (ROOT / package).glob("**/*.py")
    ]
    named = {
        (page, " ".join(heading.split()))
        for text in texts
        for page, heading in re.findall(r'docs/(protocol|design)\.md, "([^"]+)"', text)
    }
    headings = {
        (page, heading)
        for page in ("protocol", "design")
        for heading in re.findall(
            r"^#+ (.+)$", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert len(named) >= 5
    assert named <= headings


@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_each_path_that_is_named_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*|\w+\.(?:py|toml|md))`", text))
    named |= set(re.findall(r"(?<=  )(?:core|simulator)/[\w./]+", text))
    assert len(named) > 10
    rooms = (ROOT, ROOT / "mpesa_integrations")
    assert not {name for name in named if not any((room / name).exists() for room in rooms)}


@pytest.mark.long
def test_the_site_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir",
         str(tmp_path / "site")],
        check=True, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    pages = list((tmp_path / "site").glob("**/*.html"))
    assert len(pages) > len(PAGES)
    loaded = re.compile(r"<(?:script|img|iframe)[^>]+src=.?(?:https?:)?//|<link[^>]+href=.?https?:")
    assert not [page for page in pages if loaded.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_picture_is_there_and_small(page: Path) -> None:
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / name).stat().st_size < 80_000, name


def _run(words: list[str], simulator: Simulator) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] == ["pip", "install"]:
        package, _, extras = words[2].rstrip("]").partition("[")
        assert package == "mpesa-integrations"
        project = (ROOT / "pyproject.toml").read_text()
        assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    elif words == ["mpesa", "simulator"]:
        # Runs until it is told to stop; tests/test_cli.py starts one and does.
        assert CliRunner().invoke(main, ["simulator", "--help"]).exit_code == 0
    else:
        assert words[0] == "mpesa", f"no test knows how to run {words}"
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, (words, result.output)
