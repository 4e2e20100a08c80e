"""The shops' Portuguese: everything that is marked is translated, and what is compiled is that."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import example_sites.django_shop

from . import cafe_catalogue

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


def test_the_cafe_is_translated_too() -> None:
    written = cafe_catalogue.written()
    entries = {str(message.id): message for message in written if message.id}
    assert set(entries) == {message.id for message in cafe_catalogue.collected() if message.id}
    for key, message in entries.items():
        assert message.string, key
        assert not message.fuzzy
        assert not list(message.check(written)), f"{key} has other placeholders"
    with cafe_catalogue.MO_FILE.open("rb") as compiled:
        catalogue = gettext.GNUTranslations(compiled)
    assert {key: catalogue.gettext(key) for key in entries} == {
        key: message.string for key, message in entries.items()
    }
