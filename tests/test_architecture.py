"""The arrows of docs/design.md: which part may import which, and that none stands in a circle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PACKAGES = ("mpesa_integrations", "django_mpesa", "flask_mpesa", "example_sites")


def test_the_import_contracts_of_pyproject_hold() -> None:
    checked = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_no_module_imports_a_package_that_imports_it() -> None:
    """The one circle that the contracts do not see: between a package and what is in it."""
    imports = grimp.build_graph(*PACKAGES)
    circles = [
        chain
        for module in imports.modules
        for package in imports.find_modules_directly_imported_by(module)
        if module.startswith(f"{package}.")
        and (chain := imports.find_shortest_chain(package, module))
    ]
    assert not circles
