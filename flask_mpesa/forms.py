"""A phone number in a form made with WTForms or Flask-WTF, which is an optional package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import current_app, has_app_context
from wtforms import TelField

from mpesa_integrations import MsisdnError, format_msisdn, normalise_msisdn
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE

__all__ = ["MsisdnField"]


class MsisdnField(TelField):  # type: ignore[misc] # WTForms is not typed
    """A phone number that M-Pesa is on.

    It takes what people type, as `84 123 4567` or `+258 84…`, and its data is then `258841234567`;
    what is wrong is said in the language of the form. What is on record is shown as `84 123 4567`.

    Args:
        label: as WTForms has it.
        validators: likewise; with `Optional()` it may be left empty.
        prefixes: the operator prefixes that are accepted; the market's if left out.
        kwargs: those of WTForms' `TelField`.
    """

    def __init__(
        self,
        label: Any = None,
        validators: Sequence[Callable[..., Any]] = (),
        *,
        prefixes: Sequence[str] = MOZAMBIQUE.numbering.prefixes,
        **kwargs: Any,
    ) -> None:
        self._prefixes = prefixes
        shown = {"inputmode": "tel", "autocomplete": "tel", **(kwargs.pop("render_kw", None) or {})}
        super().__init__(label, list(validators), render_kw=shown, **kwargs)

    data: Any

    def process_formdata(self, valuelist: list[Any]) -> None:
        """Take what was typed.

        Raises:
            ValueError: in the form's language: it is no number of M-Pesa's.
        """
        typed = "".join(map(str, valuelist[:1]))  # Flask-WTF gives files, too
        super().process_formdata([typed] if valuelist else [])
        if not typed.strip():
            return
        try:
            self.data = normalise_msisdn(typed, self._prefixes)
        except MsisdnError as error:
            raise ValueError(error.problem.in_language(self._language())) from None

    def _value(self) -> str:
        """What the input shows: a number as people write it, or what was typed wrong."""
        return format_msisdn(str(self.data or ""))

    def _language(self) -> str | None:
        """The language of the page, where Flask-Babel knows it; else the form's own."""
        # Flask-Babel may be installed and not be this app's.
        if has_app_context() and "babel" in current_app.extensions:
            from flask_babel import get_locale

            return str(get_locale())
        locales = self.meta.locales
        return str(locales[0]) if locales else None
