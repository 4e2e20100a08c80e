"""The quick starts are followed in an empty directory, file by file and command by command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
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
FASTAPI_CLIENT = """
from fastapi.testclient import TestClient
from app import app
client = TestClient(app)
def get(path): return client.get(path)
def post(path, data): return client.post(path, data=data)
"""
FASTAPI_ROUTES = """
from app import mpesa
from mpesa_integrations.core.payments.endpoint import CallbackAnswer
token = mpesa.status_token(mpesa["default"].attempts("ORDER2")[0])
answer = get(f"/mpesa/status/{token}/")
assert answer.status_code == 200, answer
assert answer.headers["Cache-Control"] == "private, no-store", answer.headers
given = []
def answer_callback(token, body, **more):
    given.append((token, body, more["forwarded_for"]))
    return CallbackAnswer(404, {})
mpesa.answer_callback = answer_callback
hops = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "10.0.0.1")]
for path in ("/mpesa/callback/t/", "/mpesa/callback/t"):
    answer = client.post(path, content=b"{}", headers=hops, follow_redirects=False)
    assert answer.status_code == 404, (path, answer)
assert given == [("t", b"{}", "192.0.2.7, 10.0.0.1")] * 2, given
"""
SHOPPER = """
def text(answer): return getattr(answer, "content", None) or answer.get_data()
def see(order, phone=None):
    answer = post({path!r} % order, {{"phone": phone}}) if phone else get({path!r} % order)
    assert answer.status_code == 200, answer
    return text(answer).decode()
assert "<label>Phone" in see("ORDER2")
declined = see("ORDER2", "84 000 0001")
assert "not enough money" in declined and "<label>Phone" in declined, declined
for page in (see("ORDER2", "84 123 4567"), see("ORDER2", "85 765 4321"), see("ORDER2")):
    assert "have received 150.00" in page and "<form" not in page, page
unknown = see("ORDER4", "84 000 0014")
assert "pay again" in unknown and "<form" not in unknown, unknown
assert see("ORDER4", "84 123 4567") == unknown
assert post({path!r} % "ORDER5", {{"phone": "12"}}).status_code == 400
"""


@pytest.mark.parametrize("framework", ["django", "fastapi", "flask"])
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
    assert _parcels(tmp_path, framework) == ["ORDER1", "ORDER2", "ORDER4"], "each once"


@pytest.mark.parametrize(
    "name", ["oscar", "quickstart-django", "quickstart-fastapi", "quickstart-flask"]
)
def test_the_portuguese_page_has_the_same_steps(name: str) -> None:
    pages = [DOCS / f"{name}.md", DOCS / "pt" / f"{name}.md"]
    english, portuguese = (
        STEP.findall(re.sub("  # .*", "", page.read_text(encoding="utf-8"))) for page in pages
    )
    assert portuguese == english != []


def _parcels(directory: Path, framework: str) -> list[str]:
    file, table = {
        "django": ("db.sqlite3", "shop_parcel"),
        "fastapi": ("shop.db", "parcel"),
        "flask": ("instance/shop.db", "parcel"),
    }[framework]
    with closing(sqlite3.connect(directory / file)) as database:
        return [order for (order,) in database.execute(f'SELECT "order" FROM {table} ORDER BY 1')]


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
    elif words[0] == "uvicorn":
        shopper = SHOPPER.format(path="/pay/%s")
        words = ["python", "-c", FASTAPI_CLIENT + shopper + FASTAPI_ROUTES]
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for name in [name for name in environment if name.startswith(("MPESA_", "DJANGO_"))]:
        del environment[name]
    done = subprocess.run(
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
