"""What `make types` does beside mypy: `python -m tests.type_checks`.

How much of the packages' public names has a type that a checker knows, against what
`tool.mpesa-types` in pyproject.toml asks for; and the Python of README and docs, for both checkers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import documented_code
from .documented_code import ROOT

_PYRIGHT = [sys.executable, "-m", "basedpyright"]
_MYPY_CONFIG = """
[mypy]
strict = true
plugins = mypy_django_plugin.main
# As people write a view or a receiver; what is in it is checked.
disallow_untyped_defs = false
disallow_incomplete_defs = false
disallow_untyped_calls = false
disallow_untyped_decorators = false
warn_return_any = false
# What Flask-SQLAlchemy's `db.Model` is to mypy; Flask-Admin, oscar and others have no types.
disallow_subclassing_any = false
disable_error_code = name-defined, import-untyped, import-not-found, var-annotated
[mypy.plugins.django-stubs]
django_settings_module = "tests.typing_settings"
"""
# The plugin knows the managers of installed apps' models, and no class that a call gives.
_NOT_KNOWN = ('has no attribute "objects"', "Unsupported dynamic base class")


def wanted() -> dict[str, float]:
    """The least percentage of each package, from pyproject.toml."""
    found: dict[str, float] = {}
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    _, _, section = section.partition("[tool.mpesa-types]\n")
    for line in section.partition("\n\n")[0].splitlines():  # tomllib is Python 3.11's
        name, _, least = line.partition(" = ")
        found[name] = float(least)
    return found


def completeness(package: str) -> tuple[float, list[str]]:
    """The percentage of a package's public names whose type is known, and the other names."""
    done = subprocess.run(
        [*_PYRIGHT, "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=_environment(),
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    if report["generalDiagnostics"]:
        raise SystemExit(f"{package}: {report['generalDiagnostics'][0]['message']}")
    found = report["typeCompleteness"]
    unknown = [s["name"] for s in found["symbols"] if s["isExported"] and not s["isTypeKnown"]]
    return round(100 * found["completenessScore"], 2), unknown


def problems() -> list[str]:
    """All that is wrong, each with what would be right."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        pages = documented_code.write(Path(folder))
        checks = [
            *(pool.submit(_incomplete, package, least) for package, least in wanted().items()),
            pool.submit(by_pyright, Path(folder), pages),
            pool.submit(by_mypy, Path(folder), pages),
        ]
        return [problem for check in checks for problem in check.result()]


def _incomplete(package: str, least: float) -> list[str]:
    score, unknown = completeness(package)
    print(f"{package}: the type of {score:.2f} % of its public names is known, {least} % wanted")
    if score >= least:
        return []
    return [f"{package}: {score:.2f} % is less than {least} %; annotate " + ", ".join(unknown)]


def by_pyright(folder: Path, pages: list[Path]) -> list[str]:
    """What pyright, as it is without settings, finds in the pages' modules below a folder."""
    config = {
        "typeCheckingMode": "basic",
        "pythonVersion": "3.10",
        "include": [str(page) for page in pages],
        "executionEnvironments": [
            {"root": str(page), "extraPaths": [str(ROOT)], "reportMissingImports": False}
            for page in pages
        ],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [*_PYRIGHT, "--project", str(folder), "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    report: dict[str, Any] = json.loads(done.stdout)
    if report["summary"]["filesAnalyzed"] < len(pages):
        raise SystemExit(f"pyright read {report['summary']['filesAnalyzed']} files: {done.stderr}")
    print(f"pyright: {report['summary']['filesAnalyzed']} modules of README and docs")
    return [
        f"{Path(found['file']).relative_to(folder)}:{found['range']['start']['line'] + 1}: "
        f"{found['message']} [pyright]"
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    ]


def by_mypy(folder: Path, pages: list[Path]) -> list[str]:
    """What mypy finds: a page with files of its reader's is read alone, the others together."""
    config = folder / "mypy.ini"
    config.write_text(_MYPY_CONFIG, encoding="utf-8")
    apart = [page for page in pages if any(page.glob("*/*.py"))]
    together = [page for page in pages if page not in apart]
    groups = [(folder, together)] if together else []
    groups += [(page, [page]) for page in apart]
    return [problem for root, paths in groups for problem in _mypy(config, root, paths)]


def _mypy(config: Path, root: Path, paths: list[Path]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(config), "--explicit-package-bases",
         "--no-error-summary", "--cache-dir", str(config.parent / "mypy"), *map(str, paths)],
        capture_output=True, text=True, check=False, cwd=root, env=_environment(MYPYPATH=str(root)),
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise SystemExit(f"mypy: {done.stdout}{done.stderr}")
    where = "" if root == config.parent else f"{root.name}/"
    return [
        f"{where}{line} [mypy]"
        for line in done.stdout.splitlines()
        if ": error:" in line and not any(words in line for words in _NOT_KNOWN)
    ]


def _environment(**more: str) -> dict[str, str]:
    """With this interpreter first, whose packages pyright is to know, and this repository's."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}


if __name__ == "__main__":
    wrong = problems()
    print(*wrong, sep="\n")
    raise SystemExit(bool(wrong))
