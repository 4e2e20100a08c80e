"""The portal's words in other languages.

`python -m tests.simulator.portal_catalogue` adds new English texts to each catalogue, drops those
that are gone, and compiles it.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from mpesa_integrations.core.codes import CODES
from mpesa_integrations.core.operations import OPERATIONS
from mpesa_integrations.simulator import SCENARIOS, portal
from mpesa_integrations.simulator.callbacks import URL_PROBLEMS

PORTAL = Path(portal.__file__).parent
TRANSLATIONS = PORTAL / "translations"
_METHODS = [("templates/samples/**", "ignore"), ("**.py", "python"), ("**.html", "jinja2")]


def collected() -> Catalog:
    """All English texts: those of the portal's files, and those it shows of other modules."""
    catalog = Catalog(project="mpesa-integrations", fuzzy=False)
    for _file, _line, message, comments, _context in extract_from_dir(
        PORTAL, _METHODS, options_map={"**.html": {"silent": "false"}}
    ):
        catalog.add(message, auto_comments=comments)
    rules = (
        getattr(field, "rule", "")
        for operation in OPERATIONS.values()
        for field in operation.request_schema().fields.values()
    )
    for text in (
        *(info.meaning for info in CODES.values()),
        *(row.description for row in SCENARIOS.values() if row.msisdn),
        *URL_PROBLEMS.values(),
        *filter(None, rules),
    ):
        catalog.add(text)
    return catalog


def catalogue(language: str) -> Catalog:
    """The catalogue of a language, as translators write it."""
    with (TRANSLATIONS / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> None:
    """Bring the catalogue of a language up to date, and compile it."""
    found = catalogue(language)
    found.update(collected(), no_fuzzy_matching=True)
    found.obsolete.clear()
    found.header_comment = "# The portal of mpesa-integrations."
    found.msgid_bugs_address = ""
    found.last_translator = "The mpesa-integrations developers"
    directory = TRANSLATIONS / language / "LC_MESSAGES"
    with (directory / "messages.po").open("wb") as file:
        write_po(file, found, width=100, sort_output=True, no_location=True, omit_header=False)
    with (directory / "messages.mo").open("wb") as file:
        write_mo(file, found)


if __name__ == "__main__":
    for path in sorted(TRANSLATIONS.iterdir()):
        update(path.name)
