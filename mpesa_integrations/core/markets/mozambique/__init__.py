"""Vodacom Mozambique's M-Pesa Payments Gateway; docs/protocol.md.

Its codes and its operations have a module each.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...messages import Message
from ...protocol import callbacks
from ...protocol import msisdn as msisdn_module
from ...protocol.callbacks import Callback
from ...protocol.market import Environment, Market
from ...protocol.msisdn import Numbering
from ...redaction import forgetful
from .codes import ARGUMENT_OF_CODE, ResponseCode
from .operations import (
    OPERATIONS,
    SHORTCODE,
    CustomerNameAnswerSchema,
    PaymentCallbackSchema,
)

LOCAL_PORT = 18443
"""Where `mpesa simulator` listens by default, and where the environment `local` expects it."""
SANDBOX_SHORTCODE = "171717"
"""The sandbox's own; on the live host it could collect for a merchant that others share."""
CALLBACK_PORTS = range(11000, 19001)
"""The ports of an asynchronous response URL that the gateway calls."""

_NUMBERING = Numbering(
    country_code="258",
    region="MZ",
    length=9,
    mobile="8",
    prefix_length=2,
    prefix_rule="two-digit prefixes beginning with 8, as in 84,85",
    prefixes=("84", "85"),
    operators={"82": "Tmcel", "83": "Tmcel", "86": "Movitel", "87": "Movitel"},
    example="%s 123 4567",
    rule=Message("must be 258, then 84 or 85, then seven digits, as in 258841234567"),
    wrong_length=Message(
        "A phone number has nine digits, as in %(example)s; this one has %(count)d."
    ),
    wrong_country=Message(
        "M-Pesa is on Mozambican numbers, as in %(example)s; this one is of another country."
    ),
)

MOZAMBIQUE = Market(
    name="mozambique",
    currency="MZN",
    environments={
        "sandbox": Environment(host="api.sandbox.vm.co.mz"),
        "production": Environment(
            host="api.vm.co.mz",
            other_hosts=("api.mpesa.vm.co.mz",),  # of older clients; to be set as `host`
        ),
        "local": Environment(host="127.0.0.1", port=LOCAL_PORT),
    },
    origin="developer.mpesa.vm.co.mz",
    shortcode=SHORTCODE,
    shortcode_rule="must be the business's shortcode of 5 or 6 digits",
    sandbox_shortcode=SANDBOX_SHORTCODE,
    numbering=_NUMBERING,
    operations=OPERATIONS,
    codes=ResponseCode,
    argument_of_code=ARGUMENT_OF_CODE,
    answer_schema=CustomerNameAnswerSchema,  # the one that reads both names of the code
    reference_parameter="input_ThirdPartyReference",
    callback_schema=PaymentCallbackSchema,
    callback_ports=CALLBACK_PORTS,
)


def read_callback(body: bytes) -> Callback:
    """Read an asynchronous result.

    Args:
        body: the request's bytes.

    Raises:
        UnreadableBody: it is not a JSON object, is over 64 KiB, or lacks what every callback has:
            conversation ID, third-party reference and result code.
    """
    return callbacks.read_callback(body, MOZAMBIQUE)


@forgetful
def normalise_msisdn(value: object, prefixes: Sequence[str] = _NUMBERING.prefixes) -> str:
    """Bring a phone number, as people type it, to the gateway's form.

    Args:
        value: text as `84 123 4567`, `084 123 4567`, `+258 84…`, `+258 (0) 84…`, `00258…`, `258…`
            or `tel:+258-84…`, in the digits of any script, with or without marks that cannot be
            seen; or the same digits as int.
        prefixes: the two-digit operator prefixes that are accepted.

    Returns:
        `258` and nine digits.

    Raises:
        MsisdnError: it is not such a number; `problem` says in words what is wrong with it.

    Source: docs/protocol.md, "Call context".
    """
    return msisdn_module.normalise_msisdn(value, _NUMBERING, prefixes)


@forgetful
def format_msisdn(msisdn: str) -> str:
    """Write a number as people do: `258841234567` becomes `84 123 4567`.

    Args:
        msisdn: `258` and nine digits; anything else stays as it is.
    """
    return msisdn_module.format_msisdn(msisdn, _NUMBERING)
