"""A Django project of a test's own, whose commands run as a shop's do: each in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COMMANDS = """
import importlib, sys
import django
from django.core.management import call_command
django.setup()
for command in sys.argv[1:]:
    importlib.invalidate_caches()  # for migrations that the one before made
    call_command(*command.split())
"""


class Project:
    """Files in a directory, and what runs them.

    Args:
        directory: an empty one.
        files: their texts by their paths; `settings.py` is among them.
        environment: what a process of the project finds in its environment besides.
    """

    def __init__(self, directory: Path, files: dict[str, str], **environment: str) -> None:
        self._directory = directory
        self._environment = {
            **os.environ,
            **environment,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": f"{directory}{os.pathsep}{ROOT}",
        }
        for name, text in files.items():
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def manage(self, *commands: str) -> str:
        """Run Django's commands one after another in one process, as Django's start is the most."""
        return self.run("-c", _COMMANDS, *commands)

    def run(self, *words: str, fails: bool = False) -> str:
        """Run Python with these words; gives what it printed, or its errors where it must fail."""
        done = subprocess.run(
            [sys.executable, *words], cwd=self._directory, env=self._environment, timeout=120,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout
