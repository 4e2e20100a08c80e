"""The recipes for containers, without one: what they name is there, and what they start runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mpesa_integrations import MpesaClient, MpesaConfig
from mpesa_integrations.core.markets.mozambique import LOCAL_PORT

from .support.waiting import until

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "contrib" / "gateway" / "Dockerfile"
ALL = {path: yaml.safe_load((ROOT / path).read_text("utf-8")) for path in
       ("compose.yaml", ".devcontainer/compose.yaml")}  # fmt: skip


def _instructions() -> list[tuple[str, str]]:
    text = DOCKERFILE.read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def _words(instruction: str) -> list[str]:
    """The words of the one command that an instruction has, in the form of a list."""
    (found,) = (rest for name, rest in _instructions() if name == instruction)
    words: list[str] = json.loads(found[found.index("[") :])
    return words


def test_the_image_gets_what_is_built_from_and_nothing_else() -> None:
    copied = {
        word
        for name, rest in _instructions()
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert copied == packages | {"pyproject.toml", "README.md", "LICENSE"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*", "no key and no .git goes into an image"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_gateway_runs_as_nobody_of_note_in_an_image_without_tools_to_build() -> None:
    stages = [place for place, (name, _) in enumerate(_instructions()) if name == "FROM"]
    last = _instructions()[stages[-1] :]
    assert len(stages) == 2
    assert ("USER", "gateway") in last
    made = " ".join(rest for name, rest in last if name == "RUN")
    assert "useradd --uid 10001" in made
    assert "pip" not in made
    assert ("EXPOSE", str(LOCAL_PORT)) in last
    assert "--port" not in _words("ENTRYPOINT"), "it has that port by itself"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[Path, int, dict[str, str]]]:
    """The image's own command and compose.yaml's words after it, on a free port; its state."""
    added = ALL["compose.yaml"]["services"]["gateway"]["command"]
    words = [*_words("ENTRYPOINT"), *added, "--port", "0"]
    words[words.index("--state-dir") + 1] = str(tmp_path)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            account = tmp_path / "account.json"
            until(lambda: account.exists() or process.poll() is not None, seconds=60)
            assert process.poll() is None, process.communicate()
            url = json.loads(account.read_text())["base_url"]
            yield tmp_path, int(url.rpartition(":")[2]), environment
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0, "SIGTERM, which docker stop sends, ends it cleanly"


def _health(state: Path, port: int, environment: dict[str, str]) -> int:
    words = _words("HEALTHCHECK")
    words[-1] = words[-1].replace("/state/", f"{state}/").replace(f":{LOCAL_PORT}/", f":{port}/")
    return subprocess.run(
        words, env=environment, check=False, capture_output=True, timeout=60
    ).returncode


@pytest.mark.slow
def test_what_the_image_starts_is_well_and_takes_payments_and_its_check_sees_when_not(
    gateway: tuple[Path, int, dict[str, str]],
) -> None:
    state, port, environment = gateway
    assert _health(state, port, environment) == 0
    config = MpesaConfig.from_account_file(state / "account.json")
    with MpesaClient(config) as client:
        assert client.c2b(msisdn="841234567", amount=5, reference="T1").transaction_id
    assert _health(state, 1, environment) != 0, "nobody is at that port"


@pytest.mark.parametrize("path", ALL)
def test_what_a_compose_file_names_is_there(path: str) -> None:
    services: dict[str, Any] = ALL[path]["services"]
    volumes = set(ALL[path]["volumes"])
    assert {"postgres", "redis", "gateway"} <= services.keys()
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        if "build" in service:
            context = (ROOT / path).parent / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).resolve() == DOCKERFILE
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source in volumes or ((ROOT / path).parent / source).is_dir(), mount
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port), "this machine only, the same port"
        shared = service.get("network_mode", "")
        assert not shared or shared.removeprefix("service:") in services
    assert services["gateway"]["volumes"] == ["gateway:/state"]


def test_the_devcontainer_opens_its_own_service() -> None:
    opened = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    service = ALL[".devcontainer/compose.yaml"]["services"][opened["service"]]
    assert opened["dockerComposeFile"] == "compose.yaml"
    assert f"..:{opened['workspaceFolder']}" in service["volumes"]
    target = shlex.split(opened["postCreateCommand"])[1]
    assert f"$(VENV)/{Path(target).name}:" in (ROOT / "Makefile").read_text()
