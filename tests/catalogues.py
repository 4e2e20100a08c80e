"""The words in other languages, of whatever people see.

`python -m tests.catalogues` adds new English texts to each catalogue, drops those that are gone,
and compiles it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.payments.lifecycle import State
from mpesa_integrations.simulator import SCENARIOS
from mpesa_integrations.simulator.delivery import ANSWER_PROBLEMS
from mpesa_integrations.simulator.journal import CUT_BY_SCENARIO
from mpesa_integrations.simulator.response_url import URL_PROBLEMS

ROOT = Path(__file__).parents[1]
_KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "_now_": None,
    "gettext_noop": None,
    "lazy_gettext": None,
    "english": None,
    "Message": None,
}


@dataclass(frozen=True)
class Catalogue:
    """One package's texts in one language.

    Attributes:
        title: the comment at its head.
        package: where the English texts are.
        file: the .po file, within the package.
        templates: how the templates' texts are found: an extraction method of Babel's.
        more: English texts that are shown and stand elsewhere.
    """

    title: str
    package: str
    file: str
    templates: Any
    more: Callable[[], Iterable[str]] = tuple

    @property
    def po(self) -> Path:
        """As translators write it."""
        return ROOT / self.package / self.file

    @property
    def mo(self) -> Path:
        """As gettext reads it."""
        return self.po.with_suffix(".mo")

    def collected(self) -> Catalog:
        """All English texts."""
        catalog = Catalog(project="mpesa-integrations", fuzzy=False)
        methods = [
            ("templates/samples/**", "ignore"),
            ("**.py", "python"),
            ("**.html", self.templates),
        ]
        for _file, _line, message, comments, _context in extract_from_dir(
            ROOT / self.package, methods, {"**.html": {"silent": "false"}}, keywords=_KEYWORDS
        ):  # fmt: skip
            catalog.add(message, auto_comments=comments)
        for text in self.more():
            catalog.add(text)
        return catalog

    def translated(self) -> Catalog:
        """The texts with their translations."""
        if not self.po.exists():
            return Catalog(self.po.parts[-3], project="mpesa-integrations", fuzzy=False)
        with self.po.open("rb") as file:
            return read_po(file, locale=self.po.parts[-3])

    def update(self) -> None:
        """Bring it up to date, and compile it."""
        found = self.translated()
        created = found.creation_date
        found.update(self.collected(), no_fuzzy_matching=True)
        found.creation_date = created
        found.obsolete.clear()
        found.header_comment = f"# {self.title}"
        found.msgid_bugs_address = ""
        found.last_translator = "The mpesa-integrations developers"
        self.po.parent.mkdir(parents=True, exist_ok=True)
        with self.po.open("wb") as file:
            write_po(file, found, width=100, sort_output=True, no_location=True)
        self.mo.write_bytes(compiled(found))


def compiled(catalog: Catalog) -> bytes:
    """What the .mo file of a catalogue must be."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def _django(file: Any, keywords: Any, comment_tags: Any, options: Any) -> Iterator[Any]:
    """Babel's extraction method for Django's templates."""
    text = templatize(file.read().decode(), origin=file.name)
    lines = "\n".join(line.strip() for line in text.splitlines())
    yield from extract_python(io.BytesIO(lines.encode()), keywords, comment_tags, options)


def _put_into_messages() -> Iterator[str]:
    yield from (info.meaning for info in CODES.values())
    yield from map(str, State)


def _shown_by_the_portal() -> Iterator[str]:
    yield from (row.description for row in SCENARIOS.values() if row.msisdn)
    yield from (CUT_BY_SCENARIO, *ANSWER_PROBLEMS.values(), *URL_PROBLEMS.values())


CATALOGUES = {
    "core": Catalogue(
        "The core of mpesa-integrations: what is wrong with a value, and what a code means.",
        "mpesa_integrations/core", "locale/pt/LC_MESSAGES/core.po", "jinja2", _put_into_messages,
    ),
    "django": Catalogue(
        "The Django app of mpesa-integrations.",
        "django_mpesa", "locale/pt/LC_MESSAGES/django.po", _django,
    ),
    "flask": Catalogue(
        "The Flask extension of mpesa-integrations.",
        "flask_mpesa", "translations/pt/LC_MESSAGES/flask_mpesa.po", "jinja2",
    ),
    "portal": Catalogue(
        "The portal of mpesa-integrations.",
        "mpesa_integrations/simulator/portal", "translations/pt/LC_MESSAGES/messages.po", "jinja2",
        _shown_by_the_portal,
    ),
    "django_shop": Catalogue(
        "The example shop in Django.",
        "example_sites/django_shop", "locale/pt/LC_MESSAGES/django.po", _django,
    ),
    "flask_shop": Catalogue(
        "The example café in Flask.",
        "example_sites/flask_shop", "translations/pt/LC_MESSAGES/messages.po", "jinja2",
    ),
    "pretix": Catalogue(
        "The plugin of mpesa-integrations for pretix.",
        "integrations/pretix-mpesa/pretix_mpesa_integrations", "locale/pt/LC_MESSAGES/django.po",
        _django,
    ),
}  # fmt: skip

if __name__ == "__main__":
    for catalogue in CATALOGUES.values():
        catalogue.update()
