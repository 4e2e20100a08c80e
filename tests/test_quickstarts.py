"""The quick starts are followed in an empty directory, file by file and command by command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpesa_integrations.simulator import Simulator

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[1] / "docs"
STEP = re.compile(r'^```(console|python title="(.+?)")\n(.*?)^```', re.MULTILINE | re.DOTALL)
DJANGO_CLIENT = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
django.setup()
from django.test import Client
client = Client(SERVER_NAME="127.0.0.1")
get, post = client.get, client.post
"""
FLASK_CLIENT = """
from app import app
client = app.test_client()
def get(path): return client.get(path)
def post(path, data): return client.post(path, data=data)
"""
SHOPPER = """
def text(answer): return getattr(answer, "content", None) or answer.get_data()
assert b"<label>Phone" in text(get({path!r} % "ORDER2"))
for _ in range(2):
    assert text(post({path!r} % "ORDER2", {{"phone": "84 123 4567"}})).endswith(b"completed.")
assert text(post({path!r} % "ORDER3", {{"phone": "84 000 0001"}})).endswith(b"failed.")
assert text(post({path!r} % "ORDER4", {{"phone": "84 000 0014"}})).endswith(b"unknown.")
assert post({path!r} % "ORDER5", {{"phone": "12"}}).status_code == 400
"""


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_a_reader_takes_a_first_payment(
    framework: str, mpesa_simulator: Simulator, tmp_path: Path
) -> None:
    shutil.copytree(mpesa_simulator.state_dir, tmp_path / ".mpesa-simulator")
    page = (DOCS / f"quickstart-{framework}.md").read_text(encoding="utf-8")
    for _, file, text in STEP.findall(page):
        if file:
            _write(tmp_path / file, text)
        for line in text.splitlines() if not file else []:
            _follow(line.removeprefix("$ "), tmp_path)
    balance = mpesa_simulator.ledger.balance("258841234567")
    assert balance == 100_000 - 150 - 150, "one payment by hand, and one, sent twice, by the page"


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_the_portuguese_page_has_the_same_steps(framework: str) -> None:
    pages = [DOCS / f"quickstart-{framework}.md", DOCS / "pt" / f"quickstart-{framework}.md"]
    english, portuguese = (STEP.findall(page.read_text(encoding="utf-8")) for page in pages)
    assert portuguese == english


def _write(file: Path, text: str) -> None:
    """`settings.py` is added to, as the page says; other files are made."""
    before = file.read_text() if file.name == "settings.py" else ""
    file.write_text(before + text)


def _follow(line: str, directory: Path) -> None:
    words = shlex.split(line)
    if words[:2] == ["pip", "install"] or words == ["mpesa", "simulator"]:
        return  # tests/test_docs.py looks at these
    if words[-1] == "runserver":
        words = ["python", "-c", DJANGO_CLIENT + SHOPPER.format(path="/pay/%s/")]
    elif words[0] == "flask" and words[-1] == "run":
        words = ["python", "-c", FLASK_CLIENT + SHOPPER.format(path="/pay/%s")]
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for name in [name for name in environment if name.startswith(("MPESA_", "DJANGO_"))]:
        del environment[name]
    done = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
