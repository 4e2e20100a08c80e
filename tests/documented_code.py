"""The Python of README and docs as modules, which type checkers can read: see `type_checks`.

A block with a title is a file of its reader's. Others are modules: one that uses what an earlier
block of its page has made goes on with that, and any other begins anew.
"""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
GIVEN = {
    "settings.py": "INSTALLED_APPS: list[str] = []\n",
    "urls.py": "from django.urls import include, path\nurlpatterns = []\n",
}
"""How a file that a page adds to begins, by its name."""
_BLOCK = re.compile(r'^```python(?: title="(.+?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)


def write(folder: Path) -> list[Path]:
    """Write the modules of each page into a folder of its own; those folders.

    A translated page that has the same Python as the original is left out.

    Args:
        folder: an empty one.
    """
    seen: list[list[tuple[str, str]]] = []
    written = []
    for page in PAGES:
        blocks = blocks_of(page)
        if not blocks or blocks in seen:
            continue
        seen.append(blocks)
        own = folder / re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
        for path, text in _modules(blocks).items():
            file = own / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        written.append(own)
    return written


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """A page's blocks of Python: the title of each, or "", and its text."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def _modules(blocks: list[tuple[str, str]]) -> dict[str, str]:
    """A page's modules by their paths."""
    modules: dict[str, str] = {}
    for number, (title, text) in enumerate(blocks, start=1):
        given = title and GIVEN.get(Path(title).name, "")
        path = title or _gone_on_with(text, modules) or f"block_{number}.py"
        before = modules.get(path, given)
        modules[path] = f"{before}\n\n{text}" if before else text
    return modules


def _gone_on_with(text: str, modules: dict[str, str]) -> str | None:
    """The latest module that made what a block uses and does not make; None where it needs none."""
    made, used = _names(text)
    missing = used - made - set(vars(builtins)) - {"__name__", "__file__"}
    for path, earlier in reversed(modules.items()):
        if missing & _names(earlier)[0]:
            return path
    return None


def _names(text: str) -> tuple[set[str], set[str]]:
    """The names that a text binds anywhere, and those that it reads."""
    made: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
    return made, used
