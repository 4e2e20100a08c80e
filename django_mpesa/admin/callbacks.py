"""The list of callbacks and the page of one, with its body."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.utils.translation import gettext as _now_
from django.utils.translation import gettext_lazy as _

from mpesa_integrations.core.masking import mask_msisdns_in
from mpesa_integrations.core.protocol.answers import UnreadableBody, read_json_object

from ..accounts import account_options
from ..models import CallbackLog
from .changelist import AccountFilter
from .history import HistoryAdmin
from .rendering import json_text, preformatted, state_badge

_SECRET_SETTINGS = ("API_KEY", "SECURITY_CREDENTIAL", "CALLBACK_TOKEN")


class CallbackLogAdmin(HistoryAdmin):
    """Callbacks as they arrived."""

    list_display = ("received_at", "badge", "third_party_reference", "remote_address")
    list_filter = ("verdict", AccountFilter)
    filtered_columns = ("verdict", "account", "received_at")
    search_fields = ("third_party_reference", "conversation_id")
    search_help_text = _("A whole third-party reference or conversation ID")
    date_hierarchy = "received_at"
    ordering = ("-received_at",)
    sortable_by = ("received_at",)
    fields = ("received_at", "badge", "account", "remote_address", "third_party_reference",
              "conversation_id", "transaction", "readable_body")  # fmt: skip
    readonly_fields = fields

    @admin.display(description=_("verdict"))
    def badge(self, entry: CallbackLog) -> str:
        """The verdict, in its colour."""
        return state_badge(entry.verdict, entry.get_verdict_display())

    @admin.display(description=_("body"))
    def readable_body(self, entry: CallbackLog) -> str:
        """The body as text, without phone numbers and the account's secrets."""
        body = bytes(entry.body)
        try:
            text = json_text(read_json_object(body))
        except UnreadableBody as error:
            heading = _now_("The body %s. As it arrived:") % error
            text = f"{heading}\n\n{mask_msisdns_in(body.decode(errors='replace'))}"
        for secret in _secrets(entry.account):
            text = text.replace(secret, "•••")
        return preformatted(text)


def _secrets(account: str) -> Iterable[str]:
    options = account_options().get(account, {})
    return [str(options[name]) for name in _SECRET_SETTINGS if options.get(name)]
