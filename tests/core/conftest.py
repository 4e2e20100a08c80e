from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mpesa_integrations import MpesaClient, MpesaConfig

API_KEY = "aaaab09uz9f3asdcjyk7els777ihmwv8"
PUBLIC_KEY = (Path(__file__).parents[1] / "data" / "documented_public_key.txt").read_text().strip()
SECURITY_CREDENTIAL = "Mpesa2019-secret-credential"
CALLBACK_TOKEN = "callback-token-that-nobody-knows"


def make_config(**changes: object) -> MpesaConfig:
    settings: dict[str, object] = {
        "api_key": API_KEY,
        "public_key": PUBLIC_KEY,
        "service_provider_code": "171717",
        "environment": "local",
        "initiator_identifier": "MPesa2018",
        "security_credential": SECURITY_CREDENTIAL,
        "callback_token": CALLBACK_TOKEN,
        "timeout": (2, 2),
        **changes,
    }
    return MpesaConfig(**settings)  # type: ignore[arg-type]


def make_record(**columns: Any) -> Any:
    """A payment's record as the payments room reads it: one that was just written down."""
    return SimpleNamespace(
        **{"pk": 1, "account": "default", "operation": "c2b", "state": "initiated",
           "amount": Decimal("150.00"), "reversed_amount": Decimal("0.00"),
           "reversal_pending": Decimal("0.00"), "original_id": None, "currency": "MZN",
           "stuck_at": None, "send_before": None, "response_description": "",
           "msisdn": "258841234567", "receiver_shortcode": "", "reference": "ORDER 7",
           "third_party_reference": "REF7", "conversation_id": "", "transaction_id": "",
           "claimed_transaction_id": None, "idempotency_key": None, "order_key": "",
           "claimed_order_key": None, "conflict_decided_at": None, "response_code": "",
           "conflict": "", "checks": 0, "metadata": {}, **columns},
    )  # fmt: skip


MakeClient = Callable[..., MpesaClient]


@pytest.fixture(params=["blocking", "asynchronous"])
def client_of(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    """Makes clients, of one kind and then of the other; all are closed in the end."""
    make: MakeClient = MpesaClient
    if request.param == "asynchronous":
        pytest.importorskip("aiohttp", reason="needs the extra async")
        from ..support.awaited import awaited as make
    with ExitStack() as clients:
        yield lambda *args, **kwargs: clients.enter_context(make(*args, **kwargs))


@pytest.fixture
def connect(client_of: MakeClient) -> MakeClient:
    """Makes clients of a port on loopback, without TLS."""

    def make(port: int, **changes: object) -> MpesaClient:
        settings = {"host": "127.0.0.1", "port": port, "ssl": False, "retries": 3, **changes}
        return client_of(make_config(**settings))

    return make
