"""A read-only view for Flask-Admin, of rows that are history: lists, details, search, export.

No subclass can allow changes, or sort or filter by what is masked. How payments are shown is in
`admin`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from flask import Blueprint, abort, g
from flask_admin import expose
from sqlalchemy import Unicode, cast, or_, select
from sqlalchemy.orm import object_session

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.masking import mask_msisdns_in
from mpesa_integrations.core.payments.listings import exported_text, searched_values
from mpesa_integrations.sqlalchemy.sessions import read

from .current import records_of_current_app

_CLOSED = (
    "can_create", "can_edit", "can_delete", "column_editable_list", "inline_models",
    "form_ajax_refs",
)  # fmt: skip
_MASKED = ("msisdn", "metadata_", "metadata")
_FORMATTERS = ("column_formatters", "column_formatters_detail", "column_formatters_export")


def read_anew(row: Any) -> None:
    """Have a row read again when it is next looked at: it was written to on another connection."""
    session = object_session(row)
    if session is not None:
        session.expire(row)


def payment_of(row: Any) -> Any:
    """The payment that a callback, or a handler, is of; None where there is none."""
    if row.transaction_key is None:
        return None
    records: Any = records_of_current_app()
    session: Any = object_session(row)
    return session.get(records.transaction, row.transaction_key)


def payment_reference(view: Any, context: Any, row: Any, name: str) -> str:
    """The reference of a row's payment."""
    payment = payment_of(row)
    return "–" if payment is None else str(payment.third_party_reference)


def masked_number(view: Any, context: Any, record: Any, name: str) -> str:
    """A record's phone number, masked."""
    return str(record.masked_msisdn)


def masked_notes(view: Any, context: Any, record: Any, name: str) -> str:
    """A record's metadata as text, phone numbers masked."""
    notes = record.metadata_
    return mask_msisdns_in(json.dumps(notes, ensure_ascii=False, default=str)) if notes else ""


if TYPE_CHECKING:

    class _ModelView:
        """What is used here of Flask-Admin's `ModelView`, which is not typed."""

        model: type[Any]
        admin: Any
        _sortable_columns: Sequence[Any]
        _filters: Sequence[Any] | None
        _search_fields: Sequence[tuple[Any, Any]]

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def create_blueprint(self, admin: Any) -> Blueprint: ...
        def render(self, template: str, **values: Any) -> str: ...
        def get_url(self, endpoint: str, **values: Any) -> str: ...
        def get_one(self, key: str) -> Any: ...
        def get_query(self) -> Any: ...
        def get_list(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]: ...
        def get_export_value(self, model: Any, name: str) -> Any: ...
        def is_action_allowed(self, name: str) -> bool: ...
        def _apply_path_joins(
            self, query: Any, joins: Any, path: Any, inner_join: bool = True
        ) -> tuple[Any, Any, Any]: ...

else:
    _ModelView = object


class HistoryView(_ModelView):
    """What makes a `ModelView` a read-only view of rows that are history; to stand before it.

    Raises:
        ConfigurationError: a subclass allows a change, or sorts or filters by what is masked.
    """

    can_create = False
    can_edit = False
    can_delete = False
    can_view_details = True
    column_editable_list = None
    inline_models = None
    form_ajax_refs = None
    # A count of all rows takes seconds at a million of them.
    simple_list_pager = True
    _masking: ClassVar[dict[str, Any]] = {"msisdn": masked_number, "metadata_": masked_notes}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # On the finished class, whichever of its bases has set it.
        for name in _CLOSED:
            if getattr(cls, name):
                raise ConfigurationError(
                    f"{cls.__name__}.{name} is set, and must not be: payments are history, which "
                    "nobody makes, changes or deletes by hand",
                    setting=name,
                )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        for name in _FORMATTERS:
            # Formatters of a subclass's own come beside these, not in their place.
            setattr(self, name, {**self._masking, **(getattr(self, name) or {})})
        super().__init__(*args, **kwargs)
        sorted_by = {str(name) for name in self._sortable_columns}
        columns = [getattr(found, "column", None) for found in self._filters or ()]
        filtered_by = {str(getattr(column, "key", "")) for column in columns}
        for setting, names in (
            ("column_sortable_list", sorted_by), ("column_filters", filtered_by)
        ):  # fmt: skip
            shown = names.intersection(_MASKED)
            if shown:
                raise ConfigurationError(
                    f"{setting} of {type(self).__name__} has {', '.join(sorted(shown))}, by which "
                    "masked numbers could be guessed; a search finds a whole number",
                    setting=setting,
                )

    def is_action_allowed(self, name: str) -> bool:
        """All but to delete."""
        return name != "delete" and super().is_action_allowed(name)

    def get_export_value(self, model: Any, name: str) -> Any:
        """What goes into a file: text that no spreadsheet runs."""
        value = super().get_export_value(model, name)
        return exported_text(value) if isinstance(value, str) else value

    def _apply_search(
        self, query: Any, count_query: Any, joins: Any, count_joins: Any, search: str
    ) -> tuple[Any, Any, Any, Any]:
        """Find a whole value, and a phone number however it is typed; what an index answers."""
        term = search.strip()
        if term:
            query, joins = self._narrowed(query, joins, term)
            if count_query is not None:
                count_query, count_joins = self._narrowed(count_query, count_joins, term)
        return query, count_query, joins, count_joins

    def _narrowed(self, query: Any, joins: Any, term: str) -> tuple[Any, Any]:
        found = []
        for field, path in self._search_fields:
            query, joins, alias = self._apply_path_joins(query, joins, path, inner_join=False)
            column = field if alias is None else getattr(alias, field.key)
            values = searched_values(field.key, term)
            is_text = issubclass(column.type.python_type, str)
            found.append((column if is_text else cast(column, Unicode)).in_(values))
        return query.filter(or_(*found)), joins

    @expose("/new/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def create_view(self) -> NoReturn:
        """Refused."""
        abort(403)

    @expose("/edit/", methods=("GET", "POST"))  # type: ignore[untyped-decorator]
    def edit_view(self) -> NoReturn:
        """Refused."""
        abort(403)

    @expose("/delete/", methods=("POST",))  # type: ignore[untyped-decorator]
    def delete_view(self) -> NoReturn:
        """Refused."""
        abort(403)

    @expose("/ajax/lookup/")  # type: ignore[untyped-decorator]
    def ajax_lookup(self) -> NoReturn:
        """Refused."""
        abort(403)

    @expose("/ajax/update/", methods=("POST",))  # type: ignore[untyped-decorator]
    def ajax_update(self) -> NoReturn:
        """Refused."""
        abort(403)

    def action_delete(self, ids: Any) -> NoReturn:
        """Refused, and in no list of actions."""
        abort(403)

    def create_model(self, form: Any) -> NoReturn:
        """Refused."""
        abort(403)

    def update_model(self, form: Any, model: Any) -> NoReturn:
        """Refused."""
        abort(403)

    def delete_model(self, model: Any) -> NoReturn:
        """Refused."""
        abort(403)


class PaymentsRowsView(HistoryView):
    """A view of rows that belong to payments."""

    def get_list(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """A page of rows, whose payments are read by one query."""
        count, rows = super().get_list(*args, **kwargs)
        # Kept until the page is done: a session forgets what nobody refers to.
        g.mpesa_payments = _payments_of(rows)
        return count, rows


def _payments_of(rows: Sequence[Any]) -> Sequence[Any]:
    keys = {row.transaction_key for row in rows if row.transaction_key is not None}
    if not keys:
        return ()
    records: Any = records_of_current_app()
    session: Any = object_session(rows[0])
    found = select(records.transaction).where(records.transaction.id.in_(keys))
    return read(session, found).all()
