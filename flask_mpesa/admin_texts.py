"""How the views for Flask-Admin write texts, amounts and times: as the page's language has them.

Without Flask-Babel that is English, and UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from mpesa_integrations.core.errors import MpesaError, ValidationError

__all__ = [
    "error_text",
    "exported_moment",
    "exported_money",
    "gettext",
    "language",
    "lazy_gettext",
    "moment",
    "money",
    "ngettext",
    "point",
    "zone",
]

try:
    from flask_babel import Domain, format_datetime, format_decimal, get_locale, get_timezone
except ImportError:
    from flask_admin import babel as _texts  # English as it stands

    def get_locale() -> str:
        """The language of the page."""
        return "en"

    def moment(at: datetime) -> str:
        """A time for people, to the second, and with the zone."""
        return f"{at:%Y-%m-%d %H:%M:%S %Z}"

    def money(amount: Decimal) -> str:
        """An amount for people."""
        return f"{amount:,.2f}"

    def exported_moment(at: datetime) -> str:
        """A time for a spreadsheet."""
        return f"{at:%Y-%m-%d %H:%M:%S}"

    def zone(at: datetime) -> str:
        """The zone in which times are written."""
        return f"{at:%Z}"

else:

    def moment(at: datetime) -> str:
        """A time for people, to the second, and with the zone."""
        # With the zone: an application that set none shows UTC, not what the shop's clock says.
        return f"{format_datetime(at, 'medium')} {zone(at)}"

    def money(amount: Decimal) -> str:
        """An amount for people."""
        return str(format_decimal(amount, "#,##0.00"))

    def exported_moment(at: datetime) -> str:
        """A time for a spreadsheet, and never with the month first."""
        is_portuguese = str(get_locale()).startswith("pt")
        return str(
            format_datetime(at, f"{'dd/MM/yyyy' if is_portuguese else 'yyyy-MM-dd'} HH:mm:ss")
        )

    def zone(at: datetime) -> str:
        """The zone in which times are written."""
        return at.astimezone(get_timezone()).strftime("%Z")

    _texts = Domain(str(Path(__file__).parent / "translations"), domain="flask_mpesa")

gettext: Callable[..., str] = _texts.gettext
lazy_gettext: Callable[..., Any] = _texts.lazy_gettext
ngettext: Callable[..., str] = _texts.ngettext


def language() -> str:
    """The language of the page, as `pt` or `en_GB`."""
    return str(get_locale())


def point() -> str:
    """What the page's language has before an amount's cents."""
    return money(Decimal("0.50"))[-3]


def exported_money(amount: Decimal) -> str:
    """An amount for a spreadsheet."""
    return f"{amount:.2f}".replace(".", point())


def error_text(error: Exception) -> str:
    """An error in the language of the page, as far as core has words for it.

    Of what is not the library's own, only its class: its words may show a row.
    """
    if not isinstance(error, MpesaError):
        return type(error).__name__
    if not isinstance(error, ValidationError):
        return str(error)
    messages = error.errors_in(language())
    return "; ".join(f"{argument}: {' '.join(texts)}" for argument, texts in messages.items())
