"""The response codes of Vodacom Mozambique's gateway; docs/protocol.md, "Response codes"."""

from __future__ import annotations

from collections.abc import Mapping

from ...protocol.codes import Advice, CodeInfo, GatewayCode, Kind


class ResponseCode(GatewayCode):
    """A response code. Codes that are not in the table become members too, of kind unknown.

    >>> ResponseCode("INS-0").kind
    <Kind.SUCCESS: 'success'>
    >>> ResponseCode("INS-4711").kind
    <Kind.UNKNOWN: 'unknown'>
    """

    SUCCESS = "INS-0"
    INTERNAL_ERROR = "INS-1"
    INVALID_API_KEY = "INS-2"
    USER_NOT_ACTIVE = "INS-4"
    CANCELLED_BY_CUSTOMER = "INS-5"
    TRANSACTION_FAILED = "INS-6"
    REQUEST_TIMEOUT = "INS-9"
    DUPLICATE_TRANSACTION = "INS-10"
    INVALID_SHORTCODE = "INS-13"
    INVALID_REFERENCE = "INS-14"
    INVALID_AMOUNT = "INS-15"
    TEMPORARY_OVERLOAD = "INS-16"
    INVALID_TRANSACTION_REFERENCE = "INS-17"
    INVALID_TRANSACTION_ID = "INS-18"
    INVALID_THIRD_PARTY_REFERENCE = "INS-19"
    MISSING_PARAMETERS = "INS-20"
    INVALID_PARAMETERS = "INS-21"
    INVALID_OPERATION_TYPE = "INS-22"
    UNKNOWN_STATUS = "INS-23"
    INVALID_INITIATOR_IDENTIFIER = "INS-24"
    INVALID_SECURITY_CREDENTIAL = "INS-25"
    NOT_AUTHORIZED = "INS-26"
    DIRECT_DEBIT_MISSING = "INS-993"
    DIRECT_DEBIT_EXISTS = "INS-994"
    CUSTOMER_PROFILE_PROBLEM = "INS-995"
    CUSTOMER_NOT_ACTIVE = "INS-996"
    LINKING_TRANSACTION_NOT_FOUND = "INS-997"
    INVALID_MARKET = "INS-998"
    INITIATOR_AUTHENTICATION_ERROR = "INS-2001"
    INVALID_RECEIVER = "INS-2002"
    INSUFFICIENT_BALANCE = "INS-2006"
    INVALID_MSISDN = "INS-2051"
    INVALID_LANGUAGE_CODE = "INS-2057"

    @classmethod
    def table(cls) -> Mapping[str, CodeInfo]:
        """The documented codes: `CODES`."""
        return CODES


CODES: dict[str, CodeInfo] = {
    # Of a payment that failed, it was the answer that took it in.
    "INS-0": CodeInfo(200, "Request processed successfully", Kind.SUCCESS, Advice.PHONE_AT_HAND),
    "INS-1": CodeInfo(500, "Internal Error", Kind.UNKNOWN, Advice.WAIT),
    "INS-2": CodeInfo(401, "Invalid API Key", Kind.AUTHENTICATION, Advice.NOT_NOW),
    "INS-4": CodeInfo(401, "User is not active", Kind.AUTHENTICATION, Advice.NOT_NOW),
    "INS-5": CodeInfo(401, "Transaction cancelled by customer", Kind.CANCELLED, Advice.TRY_AGAIN),
    "INS-6": CodeInfo(401, "Transaction failed", Kind.FAILED, Advice.CHECK_PIN),
    "INS-9": CodeInfo(408, "Request timeout", Kind.UNKNOWN, Advice.PHONE_AT_HAND),
    "INS-10": CodeInfo(409, "Duplicate transaction", Kind.DUPLICATE, Advice.TRY_AGAIN),
    "INS-13": CodeInfo(400, "Invalid shortcode", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-14": CodeInfo(400, "Invalid reference", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-15": CodeInfo(400, "Invalid amount", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-16": CodeInfo(503, "Temporary overloading", Kind.NOT_ACCEPTED, Advice.WAIT),
    "INS-17": CodeInfo(
        400, "Invalid transaction reference (length 1 to 20)", Kind.VALIDATION, Advice.NOT_NOW
    ),
    "INS-18": CodeInfo(400, "Invalid TransactionID", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-19": CodeInfo(400, "Invalid ThirdPartyReference", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-20": CodeInfo(400, "Not all parameters provided", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-21": CodeInfo(400, "Parameter validations failed", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-22": CodeInfo(400, "Invalid operation type", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-23": CodeInfo(400, "Unknown status, contact M-Pesa support", Kind.UNKNOWN, Advice.WAIT),
    "INS-24": CodeInfo(400, "Invalid InitiatorIdentifier", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-25": CodeInfo(400, "Invalid SecurityCredential", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-26": CodeInfo(400, "Not authorized", Kind.AUTHENTICATION, Advice.NOT_NOW),
    "INS-993": CodeInfo(400, "Direct debit missing", Kind.FAILED, Advice.OTHER_NUMBER),
    "INS-994": CodeInfo(400, "Direct debit already exists", Kind.FAILED, Advice.OTHER_NUMBER),
    "INS-995": CodeInfo(400, "Customer's profile has problems", Kind.FAILED, Advice.OPERATORS_SHOP),
    "INS-996": CodeInfo(
        400, "Customer account status not active", Kind.FAILED, Advice.OPERATORS_SHOP
    ),
    "INS-997": CodeInfo(400, "Linking transaction not found", Kind.FAILED, Advice.NOT_NOW),
    "INS-998": CodeInfo(400, "Invalid market", Kind.VALIDATION, Advice.NOT_NOW),
    "INS-2001": CodeInfo(
        400, "Initiator authentication error", Kind.AUTHENTICATION, Advice.NOT_NOW
    ),
    "INS-2002": CodeInfo(400, "Receiver invalid", Kind.FAILED, Advice.NOT_NOW),
    "INS-2006": CodeInfo(422, "Insufficient balance", Kind.FAILED, Advice.ADD_MONEY),
    "INS-2051": CodeInfo(400, "MSISDN invalid", Kind.VALIDATION, Advice.CHECK_NUMBER),
    "INS-2057": CodeInfo(400, "Language code invalid", Kind.VALIDATION, Advice.NOT_NOW),
}

# Which argument the gateway means, where a code tells.
ARGUMENT_OF_CODE: dict[GatewayCode, str] = {
    ResponseCode.INVALID_SHORTCODE: "service_provider_code",
    ResponseCode.INVALID_REFERENCE: "reference",
    ResponseCode.INVALID_AMOUNT: "amount",
    ResponseCode.INVALID_TRANSACTION_REFERENCE: "reference",
    ResponseCode.INVALID_TRANSACTION_ID: "transaction_id",
    ResponseCode.INVALID_THIRD_PARTY_REFERENCE: "third_party_reference",
    ResponseCode.INVALID_INITIATOR_IDENTIFIER: "initiator_identifier",
    ResponseCode.INVALID_SECURITY_CREDENTIAL: "security_credential",
    ResponseCode.INVALID_MSISDN: "msisdn",
}
