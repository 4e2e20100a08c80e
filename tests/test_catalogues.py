"""Translations: everything that is marked has one, and what is compiled is that."""

from __future__ import annotations

import io
from gettext import GNUTranslations
from typing import Any

import pytest
from babel.messages.mofile import read_mo

from .catalogues import CATALOGUES, Catalogue, compiled


@pytest.fixture(params=CATALOGUES)
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    return CATALOGUES[request.param]


def test_every_text_has_its_translation(catalogue: Catalogue) -> None:
    english = {message.id for message in catalogue.collected() if message.id}
    translated = catalogue.translated()
    assert len(english) > 5
    assert {message.id for message in translated if message.id} == english, "make translations"
    for message in translated:
        texts = message.string if isinstance(message.string, (list, tuple)) else [message.string]
        assert all(texts), message.id
        assert not message.fuzzy, message.id
        assert not list(message.check(translated)), message.id


def test_what_is_compiled_is_what_translators_wrote(catalogue: Catalogue) -> None:
    written = compiled(catalogue.translated())
    assert _texts(catalogue.mo.read_bytes()) == _texts(written), "make translations"


def _texts(mo: bytes) -> list[tuple[Any, Any]]:
    """What a compiled catalogue says, whichever version of Babel compiled it."""
    return [(message.id, message.string) for message in read_mo(io.BytesIO(mo)) if message.id]


def test_plurals() -> None:
    with CATALOGUES["portal"].mo.open("rb") as file:
        portal = GNUTranslations(file)
    assert portal.ngettext("%(num)s call", "%(num)s calls", 2) == "%(num)s chamadas"
