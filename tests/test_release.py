"""The checks of `make release`, on a made-up repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from release import ROOT, faults_before_build, faults_of_build, left_to_a_person, version_of

Git = Callable[..., None]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    def run(*words: str) -> None:
        identity = [
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.com",
            "-c",
            "tag.gpgSign=false",
        ]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    """A commit of version 1.2.0 that can be released."""
    (tmp_path / "mpesa_integrations").mkdir()
    (tmp_path / "mpesa_integrations" / "version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / ".gitignore").write_text("dist/\n")
    _write_changelog(tmp_path, "## 1.2.0 (2030-01-31)\n\n* News.\n")
    git("init", "--quiet")
    _commit(git)
    return tmp_path


def _write_changelog(root: Path, newest: str) -> None:
    (root / "CHANGELOG.md").write_text(
        f"# Changelog\n\n{newest}\n## 1.1.0 (2029-01-31)\n\n* Old.\n"
    )


def _commit(git: Git) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", "A change")


def _build(root: Path, *, named: str, inside: str) -> None:
    (root / "dist").mkdir()
    stem = f"mpesa_integrations-{named}"
    (root / "dist" / f"{stem}.tar.gz").touch()
    with zipfile.ZipFile(root / "dist" / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{stem}.dist-info/METADATA", f"Name: mpesa-integrations\nVersion: {inside}\n"
        )


def test_a_commit_in_which_all_agrees_can_be_released(repository: Path, git: Git) -> None:
    assert faults_before_build(repository) == []
    git("tag", "v1.2.0")
    assert faults_before_build(repository) == []


@pytest.mark.parametrize(
    ("newest", "fault"),
    [
        ("## 1.2.0 (unreleased)\n\n* News.\n", "says 'unreleased' of 1.2.0"),
        ("## 1.3.0 (2030-01-31)\n\n* News.\n", "begins with 1.3.0, and the version is 1.2.0"),
        ("## 1.2.0 (2030-01-31)\n", "says nothing of 1.2.0"),
        ("## 1.2.0 (2030-02-30)\n\n* News.\n", "says '2030-02-30' of 1.2.0"),
        ("## Next\n\n* More.\n\n## 1.2.0 (2030-01-31)\n\n* News.\n", "begins with '## Next'"),
    ],
)
def test_the_changelog_must_be_of_this_version_and_day(
    repository: Path, git: Git, newest: str, fault: str
) -> None:
    _write_changelog(repository, newest)
    _commit(git)
    (found,) = faults_before_build(repository)
    assert fault in found


def test_what_is_not_committed_is_not_released(repository: Path) -> None:
    (repository / "left.py").touch()
    (found,) = faults_before_build(repository)
    assert "not committed" in found


def test_a_version_that_was_released_is_not_released_again(repository: Path, git: Git) -> None:
    git("tag", "v1.2.0")
    (repository / "later.py").touch()
    _commit(git)
    (found,) = faults_before_build(repository)
    assert "v1.2.0 is another commit's" in found


def test_a_tag_of_another_version_is_a_fault(repository: Path, git: Git) -> None:
    git("tag", "v1.3.0")
    (found,) = faults_before_build(repository)
    assert "has the tag v1.3.0" in found


def test_the_wheel_must_be_of_this_version(repository: Path) -> None:
    assert "nothing" in faults_of_build(repository)[0]
    _build(repository, named="1.2.0", inside="1.2.0")
    assert faults_of_build(repository) == []


def test_an_older_or_a_wrong_wheel_is_a_fault(repository: Path) -> None:
    _build(repository, named="1.2.0", inside="1.1.0")
    assert faults_of_build(repository) == ["The wheel says version 1.1.0, and version.py 1.2.0."]
    (repository / "dist" / "mpesa_integrations-1.1.0.tar.gz").touch()
    assert "it should have" in faults_of_build(repository)[0]


def test_a_person_is_told_what_is_left(repository: Path) -> None:
    told = left_to_a_person(repository)
    assert all(word in told for word in ("git tag", "v1.2.0", "git push", "twine upload"))


@pytest.mark.slow
def test_the_documentation_of_each_version_is_kept_with_a_choice_between_them(
    repository: Path, git: Git
) -> None:
    (repository / "docs").mkdir()
    (repository / "docs" / "index.md").write_text("# A small page\n")
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "theme": {"custom_dir": str(ROOT / "docs" / "theme")},
        "plugins": ["search"], "extra_css": [], "nav": [{"Home": "index.md"}],
    }  # fmt: skip
    (repository / "mkdocs.yml").write_text(json.dumps(settings))
    shutil.copy(ROOT / "release.py", repository)
    git("config", "user.name", "A")
    git("config", "user.email", "a@example.com")
    for version in ("1.2.0", "1.2.1", "1.3.0"):
        (repository / "mpesa_integrations" / "version.py").write_text(f'__version__ = "{version}"')
        # As it stands in the Makefile, but that these pages are built and not the real ones.
        made = ["make", "--file", str(ROOT / "Makefile"), f"BIN={Path(sys.executable).parent}",
                "--assume-old=docs", "docs-version"]  # fmt: skip
        subprocess.run(made, cwd=repository, check=True, capture_output=True)

    def kept(file: str) -> str:
        return subprocess.run(
            ["git", "show", f"gh-pages:{file}"], cwd=repository, check=True,
            capture_output=True, text=True,
        ).stdout  # fmt: skip

    versions = json.loads(kept("versions.json"))
    assert [(one["version"], one["aliases"]) for one in versions] == [
        ("1.3", ["latest"]), ("1.2", [])
    ]  # fmt: skip
    assert "latest" in kept("index.html")
    assert "../1.3/" in kept("latest/index.html")
    for version in ("1.2", "1.3"):
        page = kept(f"{version}/index.html")
        assert "A small page" in page
        assert re.search(r'"version": ?{[^}]*"provider": ?"mike"', page)


def test_a_version_under_development_cannot_be_released(repository: Path) -> None:
    (repository / "mpesa_integrations" / "version.py").write_text('__version__ = "1.3.0.dev1"\n')
    with pytest.raises(SystemExit, match="has no version"):
        version_of(repository)


def test_this_repository_has_a_version_that_can_be_released() -> None:
    assert version_of(ROOT)


def test_the_pretix_plugin_takes_the_library_of_this_version() -> None:
    of_plugin = (ROOT / "integrations" / "pretix-mpesa" / "pyproject.toml").read_text("utf-8")
    (needed,) = re.findall(r'"(mpesa-integrations\[[^"]*)"', of_plugin)
    specifier = Requirement(needed).specifier
    assert specifier.contains(version_of(ROOT), prereleases=True)
    assert not specifier.contains("99"), "a later library may differ before 1.0"
