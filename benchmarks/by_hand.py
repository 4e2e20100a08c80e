"""The call as one writes it without the library, which the benchmarks compare with."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mpesa_integrations import MpesaConfig

from .gateway import API_KEY, KEY_FILE

_numbers = itertools.count()


def url(config: MpesaConfig) -> str:
    """Where C2B is."""
    return f"https://{config.host}:{config.port}/ipg/v1x/c2bPayment/singleStage/"


def headers(config: MpesaConfig) -> dict[str, str]:
    """The headers, with a new token."""
    return {"Authorization": f"Bearer {token(KEY_FILE)}", "Origin": config.origin}


def token(public_key: Path) -> str:
    """A token, from the key's file on."""
    key = load_der_public_key(base64.b64decode(public_key.read_text()))
    assert isinstance(key, RSAPublicKey)
    return base64.b64encode(key.encrypt(API_KEY.encode(), PKCS1v15())).decode()


def parameters(config: MpesaConfig) -> dict[str, str]:
    """A payment's parameters, with a reference of its own."""
    return {
        "input_TransactionReference": "INVOICE 7",
        "input_CustomerMSISDN": "258841234567",
        "input_Amount": "150",
        "input_ThirdPartyReference": f"B{next(_numbers)}",
        "input_ServiceProviderCode": config.service_provider_code,
    }


def acknowledgement(said: dict[str, str]) -> dict[str, str]:
    """What a callback is answered."""
    return {
        "output_OriginalConversationID": said["input_OriginalConversationID"],
        "output_ResponseCode": "0",
        "output_ResponseDesc": "Successfully Accepted Result",
        "output_ThirdPartyConversationID": said["input_ThirdPartyReference"],
    }
