"""A Django site with payments that are pending, served in a process of its own.

It has the page and the scripts that docs/waiting.md shows.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from .callbacks import callback_body
from .projects import ROOT, Project
from .waiting import until

_TOKEN = "not-the-token-that-no-log-may-show"
_KEY = ROOT / "tests" / "data" / "documented_public_key.txt"
_BLOCK = re.compile(r"^```(html|js)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SITE = """
import asyncio
import threading
from pathlib import Path

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse
from django.template import Context, Template
from django.urls import include, path
from django_mpesa import mpesa

async def tasks(request):
    return JsonResponse({"tasks": len(asyncio.all_tasks()), "threads": threading.active_count()})


def page(request, how, reference):
    payment = mpesa["default"].store.find(reference)
    values = {"payment": payment, "script": f"/scripts/{how}.js"}
    return HttpResponse(Template(Path("page.html").read_text()).render(Context(values)))


def script(request, how):
    return HttpResponse(Path(f"{how}.js").read_text(), content_type="text/javascript")


urlpatterns = [
    path("mpesa/", include("django_mpesa.urls")),
    path("tasks/", tasks),
    path("pages/<how>/<reference>/", page),
    path("scripts/<how>.js", script),
]
asgi, wsgi = get_asgi_application(), get_wsgi_application()
"""
_SETTINGS = f"""
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_of_a_test"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_mpesa"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware", "django.middleware.gzip.GZipMiddleware",
]
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}}]
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3", "OPTIONS": {{"timeout": 20}},
}}}}
MPESA = {{"default": {{
    "API_KEY": "aaaab09uz9f3asdcjyk7els777ihmwv8",
    "PUBLIC_KEY": {_KEY.read_text()!r},
    "SERVICE_PROVIDER_CODE": "171717",
    "CALLBACK_TOKEN": {_TOKEN!r},
}}}}
"""
_PENDING = """
import json, django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
from django_mpesa import mpesa
from tests.support import rows
for number in range(8):
    made = rows.make(
        operation="c2b", state="pending", amount=150, msisdn="258841234567",
        third_party_reference=f"REFERENCE{number}", conversation_id=f"AG_{number}",
    )
    print(json.dumps({
        "url": mpesa.status_url(made), "conversation_id": made.conversation_id,
        "third_party_reference": made.third_party_reference,
    }))
"""
_SERVERS = {
    "asgi": ("uvicorn", "--log-level", "warning", "--port", "{port}", "site_of_a_test:asgi"),
    "wsgi": ("cheroot", "--bind", "127.0.0.1:{port}", "site_of_a_test:wsgi"),
}


@dataclass
class Payment:
    """Where a browser asks how it stands, and what a callback names."""

    url: str
    conversation_id: str
    third_party_reference: str


class Served:
    """A site that is served.

    Attributes:
        how: `asgi` or `wsgi`.
        payments: those that are pending.
        url: the site's, without a last slash.
    """

    def __init__(self, how: str, payments: list[Payment], port: int) -> None:
        self.how = how
        self.payments = payments
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()

    def count(self) -> Any:
        """How many tasks and threads the server has."""
        return self.session.get(f"{self.url}/tasks/", timeout=10).json()

    def receive(self, payment: Payment) -> None:
        """Have the gateway call back: it was paid."""
        transaction = f"4X{payment.third_party_reference}"
        body = callback_body(payment, input_TransactionID=transaction)
        url = f"{self.url}/mpesa/callback/{_TOKEN}/"
        answer = self.session.post(url, json=body, timeout=10)
        assert answer.status_code == 200

    @contextmanager
    def events(self, payment: Payment) -> Iterator[Iterator[Any]]:
        """Follow a payment on a connection of its own, which is closed in the end."""
        accept = {"Accept": "text/event-stream"}
        with requests.get(
            self.url + payment.url, headers=accept, stream=True, timeout=30
        ) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
            yield (json.loads(line[6:]) for line in lines if line.startswith("data: "))


@contextmanager
def served(directory: Path, how: str) -> Iterator[Served]:
    """Serve a site.

    Args:
        directory: an empty one.
        how: `asgi`, by uvicorn, or `wsgi`, by cheroot.
    """
    files = {"settings.py": _SETTINGS, "site_of_a_test.py": _SITE, **_page_and_scripts()}
    pending = Project(directory, files).run("-c", _PENDING)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    found = Served(how, [Payment(**json.loads(line)) for line in pending.splitlines()], port)
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}",
    }  # fmt: skip
    command = [word.format(port=port) for word in _SERVERS[how]]
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=directory, env=environment)
    try:
        until(lambda: _answers(found))
        yield found
    finally:
        found.session.close()
        process.terminate()
        process.wait(20)


def _page_and_scripts() -> dict[str, str]:
    """What docs/waiting.md shows: a page, a script that asks, and what it has where it listens."""
    text = (ROOT / "docs" / "waiting.md").read_text(encoding="utf-8")
    (_, page), (_, asks), (_, listens) = _BLOCK.findall(text)
    whole = (
        f'{{% load mpesa %}}<!doctype html><html lang="en"><title>Shop</title><h1>Pay</h1>{page}'
    )
    last = "\nask();\n"
    assert asks.endswith(last)
    return {
        "page.html": whole,
        "questions.js": asks,
        "events.js": f"{asks.removesuffix(last)}\n{listens}",
    }


def _answers(site: Served) -> bool:
    try:
        return bool(site.count())
    except requests.ConnectionError:
        return False
