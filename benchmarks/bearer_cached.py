"""What a call pays for its token: the client's, which is kept, against encrypting for each call.

The other has the key parsed already. ratio = ours / encrypting.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpesa_integrations import MpesaClient, MpesaConfig, bearer_token
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse

from .gateway import API_KEY, BODY, KEY_FILE
from .measure import Result, compare

TARGET = 1.0


class _Nowhere:
    """A transport that answers at once, so that all else in a call is measured."""

    def send(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, body=BODY)

    def close(self) -> None:
        pass


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare a whole call, without its way to the gateway, and only the encryption."""
    config = MpesaConfig(
        api_key=API_KEY, public_key=KEY_FILE.read_text(), service_provider_code="171717"
    )
    client = MpesaClient(config, transport=_Nowhere())

    def ours() -> None:
        client.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7")

    def encrypting() -> None:
        bearer_token(config.api_key, config.public_key)

    rounds = 2 if smoke else 3000
    yield compare("bearer_cached", ours, encrypting, rounds=rounds, target=TARGET)
