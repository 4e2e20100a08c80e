"""The café's words in Portuguese.

`python -m tests.shops.cafe_catalogue` adds new English texts to the catalogue, drops those that are
gone, and compiles it.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import example_sites.flask_shop

CAFE = Path(example_sites.flask_shop.__file__).parent
PO_FILE = CAFE / "translations" / "pt" / "LC_MESSAGES" / "messages.po"
MO_FILE = PO_FILE.with_suffix(".mo")
_KEYWORDS = {**DEFAULT_KEYWORDS, "lazy_gettext": None, "english": None}


def collected() -> Catalog:
    """All English texts."""
    catalog = Catalog(project="mpesa-integrations", fuzzy=False)
    for _file, _line, message, comments, _context in extract_from_dir(
        CAFE,
        [("**.py", "python"), ("**.html", "jinja2")],
        options_map={"**.html": {"silent": "false"}},
        keywords=_KEYWORDS,
    ):
        catalog.add(message, auto_comments=comments)
    return catalog


def written() -> Catalog:
    """The catalogue, as translators write it."""
    with PO_FILE.open("rb") as file:
        return read_po(file, locale="pt")


def update() -> None:
    """Bring the catalogue up to date, and compile it."""
    catalog = written()
    catalog.update(collected(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.header_comment = "# Portuguese of the example café."
    catalog.msgid_bugs_address = ""
    catalog.last_translator = "The mpesa-integrations developers"
    with PO_FILE.open("wb") as file:
        write_po(file, catalog, width=100, sort_output=True, no_location=True)
    with MO_FILE.open("wb") as file:
        write_mo(file, catalog)


if __name__ == "__main__":
    update()
