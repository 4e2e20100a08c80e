"""Follows docs/oscar.md in a directory, which is a shop with M-Pesa afterwards.

python -m tests.oscar.page DIRECTORY
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.support.projects import Project

PAGE = Path(__file__).parents[2] / "docs" / "oscar.md"
STEP = re.compile(
    r'^```(?:console|\w+ title="(?P<file>.+?)")\n(?P<text>.*?)^```', re.MULTILINE | re.DOTALL
)
BEFORE = {
    "settings.py": """from pathlib import Path

from tests.oscar.settings import *

ROOT_URLCONF = "urls"
TEMPLATES[0]["DIRS"] = [Path(__file__).parent / "templates"]
""",
    "urls.py": "from django.urls import include, path\nfrom tests.oscar.urls import urlpatterns\n",
}
"""The shop's own files, to which the page adds."""


def follow(directory: Path) -> None:
    """Do as the page says, step by step.

    Args:
        directory: an empty one, or one that is not there.
    """
    project = Project(directory, BEFORE)
    for step in STEP.finditer(PAGE.read_text(encoding="utf-8")):
        if step["file"]:
            _write(directory / step["file"], step["text"])
        else:
            commands = [line.removeprefix("$ ") for line in step["text"].splitlines()]
            project.manage(*(line.removeprefix("python manage.py ") for line in commands))


def _write(file: Path, text: str) -> None:
    before = BEFORE.get(file.name, "")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(before + text, encoding="utf-8")


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
