"""The hooks of .pre-commit-config.yaml, which `make lint` and CI run over every file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pre_commit.clientlib import load_config

pytestmark = pytest.mark.slow

HOOKS = Path(__file__).parents[1] / ".pre-commit-config.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def _refuses_markers(repository: Path, text: str) -> bool:
    (repository / "CHANGELOG.md").write_text(text)
    subprocess.run(["git", "add", "--all"], check=True, cwd=repository)
    ran = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "merge-markers", "--all-files",
         "--config", str(HOOKS)],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0 or "CHANGELOG.md" in ran.stdout, ran.stdout + ran.stderr
    return ran.returncode != 0


@pytest.mark.parametrize("left", ["<" * 7 + " HEAD", ">" * 7 + " topic", "|" * 7 + " base"])
def test_a_marker_that_a_merge_left_is_refused(repository: Path, left: str) -> None:
    assert _refuses_markers(repository, f"# Changelog\n\n{left}\n* A line.\n{'=' * 7}\n")


def test_a_heading_of_equals_signs_is_no_marker(repository: Path) -> None:
    assert not _refuses_markers(repository, f"Licence\n{'=' * 7}\n\n{'>' * 7}quoted, seven deep\n")


def test_nothing_is_fetched_to_run_the_hooks() -> None:
    repositories = load_config(HOOKS)["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    languages = {hook["language"] for hook in repositories[0]["hooks"]}
    assert languages <= {"system", "unsupported", "pygrep"}
