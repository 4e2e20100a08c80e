"""A client of the gateway without the library: what docs/protocol.md says, typed out by hand."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mpesa_integrations.core.client.transport import mask_numbers_in_urllib3s_log
from mpesa_integrations.simulator import Account
from mpesa_integrations.simulator.account_state import AccountState

PATHS = {
    "c2b": ("POST", 18352, "/ipg/v1x/c2bPayment/singleStage/"),
    "b2c": ("POST", 18345, "/ipg/v1x/b2cPayment/"),
    "b2b": ("POST", 18349, "/ipg/v1x/b2bPayment/"),
    "reversal": ("PUT", 18354, "/ipg/v1x/reversal/"),
    "query_transaction_status": ("GET", 18353, "/ipg/v1x/queryTransactionStatus/"),
    "query_customer_name": ("GET", 19323, "/ipg/v1x/queryCustomerName/"),
}
MSISDN = "258841234567"
_numbers = itertools.count(1)


def new_reference() -> str:
    return f"RAW{next(_numbers):08}"


def bearer(account: Account) -> str:
    key = load_der_public_key(base64.b64decode(account.public_key))
    assert isinstance(key, RSAPublicKey)
    return base64.b64encode(key.encrypt(account.api_key.encode(), PKCS1v15())).decode()


class RawClient:
    """Sends whatever it is given, and gives back what came.

    Args:
        account: whose bearer it sends; a simulator is its ready-made account.
    """

    def __init__(self, account: AccountState) -> None:
        mask_numbers_in_urllib3s_log()
        self.account = account.account
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self.account.ca_file
        self.token = bearer(self.account)

    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token}",
            "Origin": "*",
        }

    def parameters(self, operation: str, **changes: str | None) -> dict[str, str]:
        """A right set of parameters, with changes; None leaves a parameter out."""
        code = self.account.service_provider_code
        base: dict[str, dict[str, str]] = {
            "payment": {
                "input_TransactionReference": "T12344C",
                "input_CustomerMSISDN": MSISDN,
                "input_Amount": "10",
                "input_ThirdPartyReference": new_reference(),
                "input_ServiceProviderCode": code,
            },
            "b2b": {
                "input_TransactionReference": "T12344C",
                "input_Amount": "10",
                "input_ThirdPartyReference": new_reference(),
                "input_PrimaryPartyCode": code,
                "input_ReceiverPartyCode": "979797",
            },
            "reversal": {
                "input_TransactionID": "4XDF12345",
                "input_SecurityCredential": self.account.security_credential,
                "input_InitiatorIdentifier": self.account.initiator_identifier,
                "input_ThirdPartyReference": new_reference(),
                "input_ServiceProviderCode": code,
            },
            "query_transaction_status": {
                "input_QueryReference": "4XDF12345",
                "input_ServiceProviderCode": code,
                "input_ThirdPartyReference": new_reference(),
            },
            "query_customer_name": {
                "input_CustomerMSISDN": MSISDN,
                "input_ServiceProviderCode": code,
                "input_ThirdPartyReference": new_reference(),
            },
        }
        found = base["payment" if operation in ("c2b", "b2c") else operation]
        changed: dict[str, str | None] = {**found, **changes}
        return {name: value for name, value in changed.items() if value is not None}

    def send(self, operation: str, parameters: dict[str, Any], **more: Any) -> requests.Response:
        method, _, path = PATHS[operation]
        body = {"params" if method == "GET" else "json": parameters}
        return self.session.request(
            method,
            self.account.base_url + path,
            **{"headers": self.headers(), "timeout": 10, "allow_redirects": False, **body, **more},
        )

    def call(self, operation: str, **changes: str | None) -> tuple[int, dict[str, Any]]:
        """Call an operation with right parameters and some changes."""
        response = self.send(operation, self.parameters(operation, **changes))
        return response.status_code, response.json()

    def code(self, operation: str, **changes: str | None) -> str:
        answer = self.call(operation, **changes)[1]
        return str(answer.get("output_ResponseCode", answer.get("output_ResultCode")))
