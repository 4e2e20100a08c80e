"""Each page that a shop needs is there in Portuguese, and none changes in one language only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Words of a page's own, in blocks that are no Python: comments, and what stands in quotes.
WORDS = re.compile(r'(?://|#) [^\n]*|"[^"\n]*"')


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whatever tags its plugins' settings have."""


_Loader.add_multi_constructor("", lambda loader, suffix, node: None)


def _nav() -> list[Any]:
    settings = yaml.load((DOCS.parent / "mkdocs.yml").read_text("utf-8"), _Loader)
    nav: list[Any] = settings["nav"]
    return nav


def _section(title: str) -> list[str]:
    """The pages of one section of the navigation, and of the sections in it."""
    (found,) = (entry[title] for entry in _nav() if title in entry)
    return list(_pages(found))


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    for one in entry if isinstance(entry, list) else []:
        for value in one.values():
            yield from _pages(value)


ENGLISH = ["index.md", *_section("First payment"), *_section("Guides")]


def _text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    return BLOCK.sub("", text)


def test_each_page_has_its_twin_in_the_navigation_in_the_same_order() -> None:
    assert _section("Português") == [f"pt/{page}" for page in ENGLISH]


def test_each_page_in_portuguese_is_one_of_them() -> None:
    assert {f"pt/{page.name}" for page in DOCS.glob("pt/*")} == set(_section("Português"))


@pytest.mark.parametrize("page", ENGLISH)
def test_both_have_the_same_parts(page: str) -> None:
    for part in (
        r"^(#+) ",  # headings, by their level
        r"^(\||\* |\d+\. )",  # rows of tables, and items
        r"!\[[^\]]+\]\((?:\.\./)?([^)]+)\)",  # pictures
        r"<!-- table: ([\w-]+?)(?:-pt)? -->",
    ):
        found = [re.findall(part, _prose(_text(name)), re.M) for name in (page, f"pt/{page}")]
        assert found[1] == found[0], part


@pytest.mark.parametrize("page", ENGLISH)
def test_both_say_the_same_number_of_things_and_lead_to_the_same_pages(page: str) -> None:
    english, portuguese = _prose(_text(page)), _prose(_text(f"pt/{page}"))
    paragraphs = [len(re.split(r"\n\s*\n", text.strip())) for text in (english, portuguese)]
    assert paragraphs[1] == paragraphs[0], "paragraphs"
    links = [
        sorted(re.findall(r"\]\((?:\.\./|pt/)*([^)#]*)", text)) for text in (english, portuguese)
    ]
    assert links[1] == links[0]


@pytest.mark.parametrize("page", ENGLISH)
def test_both_have_the_same_code_but_for_words(page: str) -> None:
    english, portuguese = (BLOCK.findall(_text(name)) for name in (page, f"pt/{page}"))
    assert len(english) == len(portuguese)
    for number, ((kind, text), (their_kind, theirs)) in enumerate(
        zip(english, portuguese, strict=True)
    ):
        assert their_kind == kind, number
        assert _without_words(kind, theirs) == _without_words(kind, text), f"block {number}"


@pytest.mark.parametrize("page", ENGLISH)
def test_both_name_the_same_things_in_code(page: str) -> None:
    """What stands between backticks is no language's; it may come in another order, or again."""
    english, portuguese = (
        {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", _prose(_text(one)))}
        for one in (page, f"pt/{page}")
    )
    assert english - portuguese == portuguese - english == set()


def _without_words(kind: str, text: str) -> str:
    if kind != "python":
        return WORDS.sub("", text) if kind in ("python", "js", "html") else text
    tree = ast.parse(text.replace(".in_language('pt')", ""))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)
