"""The six operations as the gateway serves them: method, port, path, parameters.

They are written out here and not taken from the library, so that a mistake in one is seen by the
other. Source: docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/ipg/v1x/"
"""What all paths begin with."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation as the gateway serves it.

    Attributes:
        required: the parameters that must be there.
        optional: those that may be.
    """

    operation: str
    method: str
    port: int
    path: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_PAYMENT = (
    "input_TransactionReference",
    "input_CustomerMSISDN",
    "input_Amount",
    "input_ThirdPartyReference",
    "input_ServiceProviderCode",
)
ENDPOINTS = (
    Endpoint("c2b", "POST", 18352, "c2bPayment/singleStage/", _PAYMENT),
    Endpoint("b2c", "POST", 18345, "b2cPayment/", _PAYMENT),
    Endpoint(
        "b2b",
        "POST",
        18349,
        "b2bPayment/",
        (
            "input_TransactionReference",
            "input_Amount",
            "input_ThirdPartyReference",
            "input_PrimaryPartyCode",
            "input_ReceiverPartyCode",
        ),
    ),
    Endpoint(
        "reversal",
        "PUT",
        18354,
        "reversal/",
        (
            "input_TransactionID",
            "input_SecurityCredential",
            "input_InitiatorIdentifier",
            "input_ThirdPartyReference",
            "input_ServiceProviderCode",
        ),
        ("input_ReversalAmount",),
    ),
    Endpoint(
        "query_transaction_status",
        "GET",
        18353,
        "queryTransactionStatus/",
        ("input_QueryReference", "input_ServiceProviderCode", "input_ThirdPartyReference"),
    ),
    Endpoint(
        "query_customer_name",
        "GET",
        19323,
        "queryCustomerName/",
        ("input_CustomerMSISDN", "input_ServiceProviderCode", "input_ThirdPartyReference"),
    ),
)
DOCUMENTED_PORTS = tuple(endpoint.port for endpoint in ENDPOINTS)
_BY_PATH = {PREFIX + endpoint.path.rstrip("/"): endpoint for endpoint in ENDPOINTS}


def find_endpoint(path: str) -> Endpoint | None:
    """Find the operation of a path; clients that leave the last slash out are served, too."""
    return _BY_PATH.get(path.removesuffix("/"))
