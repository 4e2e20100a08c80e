"""The shop's Portuguese: everything that is marked is translated, and what is compiled is that."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import example_sites.django_shop

SHOP = Path(example_sites.django_shop.__file__).parent
MESSAGES = SHOP / "locale" / "pt" / "LC_MESSAGES"
ENTRY = re.compile(r'^msgid (".+")\nmsgstr (".*")$', re.MULTILINE)
IN_TEMPLATE = re.compile(r"""{% translate (?:"([^"]+)"|'([^']+)') %}""")
IN_CODE = re.compile(r'\b_\(\s*((?:"[^"]*"\s*)+),?\s*\)')


def test_every_message_is_translated_and_compiled() -> None:
    source = (MESSAGES / "django.po").read_text()
    entries = {ast.literal_eval(key): ast.literal_eval(text) for key, text in ENTRY.findall(source)}
    assert source.count("\nmsgid ") - 1 == len(entries)
    assert all(entries.values())
    assert "#, fuzzy" not in source
    with (MESSAGES / "django.mo").open("rb") as compiled:
        catalogue = gettext.GNUTranslations(compiled)
    assert {key: catalogue.gettext(key) for key in entries} == entries
    assert _marked() <= set(entries)


def _marked() -> set[str]:
    found = set()
    for template in SHOP.glob("templates/**/*.html"):
        found |= {a or b for a, b in IN_TEMPLATE.findall(template.read_text())}
    for module in SHOP.glob("**/*.py"):
        found |= {ast.literal_eval(f"({text})") for text in IN_CODE.findall(module.read_text())}
    assert len(found) > 80
    return found
