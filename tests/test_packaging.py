"""What is shipped: the version from one place, the wheel's content, typing."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, metadata, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

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


@pytest.mark.long
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


PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def _locked(python: str) -> dict[str, Requirement]:
    """What the lock installs with that version of Python."""
    text = (ROOT / "requirements-dev.lock").read_text()
    pins = [Requirement(line.rstrip(" \\")) for line in text.splitlines() if re.match(r"\w", line)]
    environment = {str(name): str(value) for name, value in default_environment().items()}
    environment |= {"python_version": python, "python_full_version": f"{python}.0"}
    return {pin.name: pin for pin in pins if not pin.marker or pin.marker.evaluate(environment)}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_pins_what_development_needs_with_each_python(python: str) -> None:
    pins = _locked(python)
    texts = metadata("mpesa-integrations").get_all("Requires-Dist") or []
    needed = [Requirement(text) for text in texts]
    for need in (need for need in needed if need.name != "mpesa-integrations"):
        (pin,) = pins[need.name.lower()].specifier
        assert pin.operator == "=="
        assert need.specifier.contains(pin.version, prereleases=True), (need, pin)


def test_the_lock_has_a_hash_of_each_file_and_says_nothing_of_where_it_was_had() -> None:
    text = (ROOT / "requirements-dev.lock").read_text()
    assert "://" not in text
    pinned = re.split(r"\n(?=\w)", text)[1:]
    assert len(pinned) > 100
    assert all("--hash=sha256:" in entry for entry in pinned)


@pytest.mark.slow
def test_ci_runs_each_version_that_is_supported() -> None:
    everything, of_ci = _environments(), _environments("-m", "ci")
    assert of_ci <= everything
    parts = {part for name in everything for part in name.split("-")}
    assert parts == {part for name in of_ci for part in name.split("-")}
    for kind in ("django", "flask", "sqlalchemy", "marshmallow", "simulator"):
        pythons = {name.split("-")[0] for name in of_ci if kind in name and name[:2] == "py"}
        assert {"py310", "py313"} <= pythons, f"{kind} is not run at both ends"


def _environments(*of: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tox", "list", "--no-desc", "--quiet", *of],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.slow
def test_where_the_gateways_extra_is_missing_it_is_named(tmp_path: Path) -> None:
    missing = "import sys; sys.modules['uvicorn'] = None"
    (tmp_path / "test_shop.py").write_text(f"{missing}\ndef test_pays(mpesa_client): pass\n")
    for command in (
        ["-c", f"{missing}; import mpesa_integrations.simulator"],
        ["-c", f"{missing}; import django_mpesa.test"],
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", str(tmp_path)],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert done.returncode == 1
        said = done.stdout + done.stderr
        assert "needs uvicorn: pip install 'mpesa-integrations[simulator]'" in said
