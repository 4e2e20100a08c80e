"""The checks of `make release`: changelog, version, tag and what was built agree.

It tags and uploads nothing: that is left to a person, who is told how.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from datetime import date
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent
_VERSION = re.compile(r'^__version__ = "([0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?)"$', re.M)
_NEWEST = re.compile(r"^(## [^\n]*)\n(.*?)(?=^## |\Z)", re.M | re.S)
_HEADING = re.compile(r"## (\S+) \(([^)]+)\)")


def version_of(root: Path) -> str:
    """Read the version from the one place where it stands.

    Raises:
        SystemExit: it is no version that can be released, such as 1.2.0 or 1.2.0rc1.
    """
    found = _VERSION.search((root / "mpesa_integrations" / "version.py").read_text("utf-8"))
    if found is None:
        raise SystemExit("mpesa_integrations/version.py has no version as in 1.2.0 or 1.2.0rc1.")
    return found[1]


def documented_version(root: Path) -> str:
    """The version under which the documentation is kept: 1.2 for 1.2.0, 1.2.1 and so on."""
    return ".".join(version_of(root).split(".")[:2])


def faults_before_build(root: Path) -> list[str]:
    """Say what keeps this commit from being released; nothing is built yet."""
    version = version_of(root)
    faults = [*_faults_of_changelog(root, version), *_faults_of_tags(root, version)]
    if _git(root, "status", "--porcelain"):
        faults.append("The work tree has changes that are not committed.")
    return faults


def faults_of_build(root: Path) -> list[str]:
    """Say in what the files in `dist/` are not those of this version."""
    version = version_of(root)
    name = f"mpesa_integrations-{version}"
    expected = [f"{name}-py3-none-any.whl", f"{name}.tar.gz"]
    built = sorted(path.name for path in (root / "dist").glob("*"))
    if built != expected:
        return [f"dist/ has {', '.join(built) or 'nothing'}; it should have {', '.join(expected)}."]
    with zipfile.ZipFile(root / "dist" / expected[0]) as wheel:
        metadata = HeaderParser().parsestr(wheel.read(f"{name}.dist-info/METADATA").decode("utf-8"))
    if metadata["Version"] != version:
        return [f"The wheel says version {metadata['Version']}, and version.py {version}."]
    return []


def left_to_a_person(root: Path) -> str:
    """What to do once everything agrees."""
    version = version_of(root)
    return f"""\
Version {version} is built and checked, in dist/. Left to you, once CI is green on this commit:

  git tag --annotate v{version} --message 'Version {version}'
  git push origin v{version}
  twine upload dist/*
  make docs-version
  git push origin gh-pages

Then raise mpesa_integrations/version.py, begin CHANGELOG.md's next part with '(unreleased)', and
run make docs."""


def _faults_of_changelog(root: Path, version: str) -> list[str]:
    newest = _NEWEST.search((root / "CHANGELOG.md").read_text("utf-8"))
    first, text = newest.groups() if newest else ("nothing", "")
    heading = _HEADING.fullmatch(first)
    if heading is None:
        return [f"CHANGELOG.md begins with '{first}'; it should be as '## 1.2.0 (2030-01-31)'."]
    named, day = heading.groups()
    faults = []
    if named != version:
        faults.append(f"CHANGELOG.md begins with {named}, and the version is {version}.")
    if not _is_day(day):
        faults.append(f"CHANGELOG.md says '{day}' of {named}; put the day of its release.")
    if not text.strip():
        faults.append(f"CHANGELOG.md says nothing of {named}.")
    return faults


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _faults_of_tags(root: Path, version: str) -> list[str]:
    here = [tag for tag in _git(root, "tag", "--points-at", "HEAD").split() if tag.startswith("v")]
    faults = [
        f"This commit has the tag {tag}, and the version is {version}."
        for tag in here
        if tag != f"v{version}"
    ]
    if f"v{version}" not in here and _git(root, "tag", "--list", f"v{version}"):
        faults.append(f"The tag v{version} is another commit's: this version was released.")
    return faults


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def main(step: str) -> None:
    """Run the checks of one step, `check` or `built`, and end with 1 if one fails.

    `docs` prints the version that the documentation is kept under.
    """
    if step == "docs":
        print(documented_version(ROOT))
        return
    faults = {"check": faults_before_build, "built": faults_of_build}[step](ROOT)
    if faults:
        raise SystemExit("No release yet:\n" + "\n".join(f"* {fault}" for fault in faults))
    if step == "built":
        print(left_to_a_person(ROOT))


if __name__ == "__main__":
    main(*sys.argv[1:])
