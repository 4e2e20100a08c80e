"""What the gateway refuses, and by which code: the bearer, and what is wrong in the parameters.

How the parameters are read is in `parameters`. The checks are the gateway's own and not the
library's schemas, so that a mistake in one is seen by the other. Source: docs/protocol.md.
"""

from __future__ import annotations

import re
from decimal import Decimal

from .account_state import AccountState
from .endpoints import Endpoint
from .parameters import AMOUNTS, Parameters, Refused

UNKNOWN_RECEIVER = "999999"
"""A shortcode that no business has."""
_OWN_IDS = ("input_TransactionID", "input_QueryReference")

# Parameter -> (pattern, code if it does not match).
_FORMATS: dict[str, tuple[re.Pattern[str], str]] = {
    "input_TransactionReference": (re.compile(r"[^\x00-\x1f\x7f]{1,20}"), "INS-17"),
    "input_CustomerMSISDN": (re.compile(r"2588[45][0-9]{7}"), "INS-2051"),
    "input_Amount": (re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?"), "INS-15"),
    "input_ReversalAmount": (re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?"), "INS-15"),
    "input_ThirdPartyReference": (re.compile(r"[A-Za-z0-9]{1,50}"), "INS-19"),
    "input_ServiceProviderCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_PrimaryPartyCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_ReceiverPartyCode": (re.compile(r"[0-9]{5,6}"), "INS-13"),
    "input_TransactionID": (re.compile(r"[A-Za-z0-9]{1,50}"), "INS-18"),
    "input_QueryReference": (re.compile(r"[A-Za-z0-9_-]{1,50}"), "INS-14"),
}


def check_bearer(account: AccountState | None) -> AccountState:
    """Check that a bearer's account was found, and give it.

    Raises:
        Refused: no account's current API key made the bearer, or there is none.
    """
    if account is None:
        raise Refused("INS-2")
    return account


def check_parameters(account: AccountState, endpoint: Endpoint, parameters: Parameters) -> None:
    """Check that nothing is missing, and that each value is one that the gateway takes.

    Raises:
        Refused: with the code that fits.
    """
    if any(name not in parameters for name in endpoint.required):
        raise Refused("INS-20")
    for name, value in parameters.items():
        if name not in _FORMATS or _FORMATS[name][0].fullmatch(value):
            continue
        # Its own IDs it knows again, whatever shape a test gave them.
        if name not in _OWN_IDS or account.ledger.find(value) is None:
            raise Refused(_FORMATS[name][1])
    if any(Decimal(parameters[name]) <= 0 for name in AMOUNTS if name in parameters):
        raise Refused("INS-15")
    _check_parties(account, parameters)


def _check_parties(account: AccountState, parameters: Parameters) -> None:
    ours = account.service_provider_code
    identifier = account.credentials.initiator_identifier
    credential = account.credentials.security_credential
    for name, value, code in (
        ("input_ServiceProviderCode", ours, "INS-13"),
        ("input_PrimaryPartyCode", ours, "INS-13"),
        ("input_InitiatorIdentifier", identifier, "INS-24"),
        ("input_SecurityCredential", credential, "INS-25"),
    ):
        if parameters.get(name, value) != value:
            raise Refused(code)
    if parameters.get("input_ReceiverPartyCode") in (UNKNOWN_RECEIVER, ours):
        raise Refused("INS-2002")
