"""`make fuzz`: coverage-guided bytes at the callback endpoint, by atheris, for so many seconds.

A crash is a body that is answered with anything but a stored refusal or acknowledgement, or that
moves the one payment that waits.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["mpesa_integrations.core"]):
    from mpesa_integrations.core.payments.calls import Payments
    from mpesa_integrations.core.payments.endpoint import CallbackRequest, answer_callback
    from mpesa_integrations.core.payments.registry import Accounts
    from mpesa_integrations.core.settings.account import AccountSettings

from flask_mpesa.memory_store import MemoryStore
from mpesa_integrations.core.payments.lifecycle import State
from tests.core.conftest import CALLBACK_TOKEN, make_config


class _Silent:
    def wants(self, event: Any) -> bool:
        return False

    def notify(self, *args: Any) -> None:
        """Nobody listens."""

    def run(self, *args: Any) -> None:
        """There are no handlers."""

    def handler_failed(self, *args: Any) -> None:
        """Nobody listens."""

    def callback_rejected(self, *args: Any) -> None:
        """Nobody listens."""


_STORE = MemoryStore("default")
_PAYMENTS: Payments[Any, Any] = Payments(
    "default", AccountSettings(config=make_config()), _STORE, _Silent()
)
_ACCOUNTS: Accounts[Any, Any] = Accounts(lambda: {"default": {}}, lambda *_: _PAYMENTS)
_ACCOUNTS._built["default"] = _PAYMENTS
_WAITING, _ = _STORE.create(
    {
        "operation": "c2b",
        "state": State.PENDING,
        "third_party_reference": "WAITING1",
        "conversation_id": "AG_nobody_guesses_this_0123456789",
    },
    (),
)


def try_body(body: bytes) -> None:
    """Post a body."""
    answer = answer_callback(
        _ACCOUNTS,
        CallbackRequest(
            token=CALLBACK_TOKEN,
            content_type="application/json",
            content_length=str(len(body)),
            remote_address="127.0.0.1",
            forwarded_for="",
            read=lambda limit: body[:limit],
        ),
    )
    if answer.status not in (200, 400, 413):
        raise AssertionError(f"answered {answer.status}")
    if _STORE.get(_WAITING).state != State.PENDING:
        raise AssertionError("a body moved the payment")


def main() -> None:
    """Begin from a callback as the gateway sends it, wrong in what a stranger cannot know."""
    logging.disable()
    corpus = Path(tempfile.mkdtemp(prefix="mpesa-fuzz-"))
    body = {
        "input_OriginalConversationID": "AG_20180206_00005e7dccc6da08efa8",
        "input_ThirdPartyReference": "WAITING1",
        "input_TransactionID": "4XDF12345",
        "input_ResultCode": "0",
        "input_ResultDesc": "Request processed successfully",
    }
    (corpus / "callback").write_text(json.dumps(body))
    atheris.Setup([*sys.argv, "-max_len=4096", str(corpus)], try_body)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
