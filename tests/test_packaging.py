"""What is shipped: the version from one place, the wheel's content, typing."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, metadata, version
from pathlib import Path

import mpesa_integrations

ROOT = Path(__file__).parents[1]


def test_the_version_stands_in_one_place() -> None:
    assert version("mpesa-integrations") == mpesa_integrations.__version__
    assert f"## {mpesa_integrations.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_extras_are_there() -> None:
    extras = set(metadata("mpesa-integrations").get_all("Provides-Extra") or [])
    assert extras >= {"flask", "django", "sqlalchemy", "celery", "simulator", "dev"}


def test_the_command_and_the_pytest_plugin_are_found() -> None:
    (command,) = entry_points(group="console_scripts", name="mpesa")
    assert callable(command.load())
    (plugin,) = entry_points(group="pytest11", name="mpesa")
    assert hasattr(plugin.load(), "mpesa_simulator")


def test_the_wheel_holds_the_packages_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path),
         str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops <= {"mpesa_integrations", "django_mpesa", "flask_mpesa"}
    assert "mpesa_integrations/py.typed" in names
    assert "mpesa_integrations/core/client/blocking.py" in names
    portal = "mpesa_integrations/simulator/portal"
    assert {
        f"{portal}/templates/base.html", f"{portal}/templates/samples/java.txt",
        f"{portal}/static/portal.css", f"{portal}/static/vendor/htmx.LICENSE.txt",
        f"{portal}/static/vendor/chart.LICENSE.md",
        f"{portal}/translations/pt/LC_MESSAGES/messages.mo",
        "mpesa_integrations/core/locale/pt/LC_MESSAGES/core.mo",
        "django_mpesa/locale/pt/LC_MESSAGES/django.mo",
        "flask_mpesa/translations/pt/LC_MESSAGES/flask_mpesa.mo",
    } <= set(names)  # fmt: skip
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_public_face_is_what_it_says() -> None:
    assert all(hasattr(mpesa_integrations, name) for name in mpesa_integrations.__all__)


def test_the_oldest_versions_that_are_tested_are_the_oldest_that_are_allowed() -> None:
    requirements = metadata("mpesa-integrations").get_all("Requires-Dist") or []
    ours = ("extra == 'dev'", "extra == 'examples'")
    for_users = [text for text in requirements if not text.endswith(ours)]
    lowest = {
        f"{found[1]}=={found[2]}"
        for found in (re.match(r"([a-z0-9-]+).*?>=([0-9.]+)", text) for text in for_users)
        if found
    }
    constraints = (ROOT / "tests" / "constraints-oldest.txt").read_text().splitlines()
    assert lowest == {line for line in constraints if line and not line.startswith("#")}
