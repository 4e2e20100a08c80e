"""What the API pages say about each operation: the words; names, rules and codes are core's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask_babel import LazyString
from flask_babel import lazy_gettext as _
from marshmallow import fields

from mpesa_integrations.core.client.references import new_third_party_reference
from mpesa_integrations.core.markets.mozambique import MOZAMBIQUE
from mpesa_integrations.core.protocol.operations import Operation
from mpesa_integrations.core.protocol.schemas import Amount, Msisdn
from mpesa_integrations.simulator.account import Account


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One row of a parameter table.

    Attributes:
        rule: what values are accepted, in core's words; empty for responses.
    """

    name: str
    description: str
    type: str
    required: bool = False
    rule: str = ""
    example: str = ""


TITLES: dict[str, LazyString] = {
    "c2b": _("C2B payment"),
    "b2c": _("B2C payment"),
    "b2b": _("B2B payment"),
    "reversal": _("Reversal"),
    "query_transaction_status": _("Query transaction status"),
    "query_customer_name": _("Query customer name"),
}
PURPOSES: dict[str, LazyString] = {
    "c2b": _(
        "Takes money from a customer's wallet. The customer sees a prompt on the phone and types "
        "the PIN; the payment is complete when they have."
    ),
    "b2c": _("Sends money from your business to a customer's wallet, such as a refund or a wage."),
    "b2b": _("Sends money from your business to another business, by its shortcode."),
    "reversal": _("Gives back the money of a completed transaction, all of it or a part."),
    "query_transaction_status": _(
        "Tells where a transaction stands. Ask whenever an answer or a callback did not come: "
        "never send a payment again to find out."
    ),
    "query_customer_name": _(
        "Tells the name that a phone number is registered under, partly masked, so that a person "
        "can confirm it before paying."
    ),
}

# Parameter -> (what it is, an example).
_SENT = {
    "input_TransactionReference": (
        _("Your text for the statement, such as an invoice."),
        "T12344C",
    ),
    "input_CustomerMSISDN": (_("The customer's phone number."), "258841234567"),
    "input_Amount": (_("Amount in meticais."), "150.00"),
    "input_ThirdPartyReference": (
        _("Your reference of this request. Each request needs a new one; repeat it to ask later."),
        "",
    ),
    "input_ServiceProviderCode": (_("Your business's shortcode."), ""),
    "input_PrimaryPartyCode": (_("Your business's shortcode, which pays."), ""),
    "input_ReceiverPartyCode": (_("The shortcode of the business that is paid."), "979797"),
    "input_TransactionID": (
        _("The transaction to give back, by the ID of its answer."),
        "4XDF12345",
    ),
    "input_SecurityCredential": (_("The credential that came with your account."), ""),
    "input_InitiatorIdentifier": (_("The initiator that came with your account."), ""),
    "input_ReversalAmount": (_("How much to give back, in meticais; all if left out."), "50.00"),
    "input_QueryReference": (
        _("The transaction ID, conversation ID or third-party reference to ask for."),
        "4XDF12345",
    ),
}
_ANSWERED = {
    "output_ResponseCode": _("What became of the request: a code of the table below."),
    "output_ResponseDesc": _("The code in words."),
    "output_ResultCode": _("What became of the request: this operation's name of the code."),
    "output_ResultDesc": _("The code in words: this operation's name of it."),
    "output_ConversationID": _("The gateway's ID of the conversation; callbacks repeat it."),
    "output_TransactionID": _("The gateway's ID of the transaction; N/A until money has moved."),
    "output_ThirdPartyReference": _("Your reference, repeated."),
    "output_ResponseTransactionStatus": _(
        "Completed, Pending, Cancelled, Expired or Failed; N/A for a transaction it does not know."
    ),
    "output_CustomerName": _("The customer's name, partly masked."),
}
_OF_THE_ACCOUNT = ("service_provider_code", "initiator_identifier", "security_credential")


def request_parameters(operation: Operation, account: Account, paid: str | None) -> list[Parameter]:
    """The rows of an operation's parameter table, from its schema, with the account's own values.

    Args:
        operation: a row of core's table.
        account: whose values the examples are.
        paid: ID of a transaction that there is, for the examples; None if there is none.
    """
    declared = operation.request_schema(numbering=MOZAMBIQUE.numbering).fields
    return [
        Parameter(
            name=wire_name,
            description=str(_SENT[wire_name][0]),
            type=_type(declared[name]),
            required=declared[name].required,
            rule=str(getattr(declared[name], "rule", "")),
            example=_example(name, wire_name, account, paid),
        )
        for name, wire_name in operation.request_schema.wire.items()
    ]


def response_parameters(operation: Operation) -> list[Parameter]:
    """The rows of an operation's response table, from the schema that reads its answers."""
    declared: Iterable[Any] = operation.answer_schema().fields.values()
    names = [str(field.data_key) for field in declared if field.documented]
    return [Parameter(name=name, description=str(_ANSWERED[name]), type="String") for name in names]


def example_body(operation: Operation, account: Account, paid: str | None) -> dict[str, str]:
    """Parameters of a request that works as it stands."""
    rows = request_parameters(operation, account, paid)
    return {row.name: row.example for row in rows if row.required}


def example_arguments(operation: Operation, account: Account, paid: str | None) -> dict[str, str]:
    """The same as arguments of the library's method, which adds the account and a reference."""
    known = {"third_party_reference", *_OF_THE_ACCOUNT}
    body = example_body(operation, account, paid)
    wire = operation.request_schema.wire
    return {name: body[wire[name]] for name in wire if wire[name] in body and name not in known}


def _example(name: str, wire_name: str, account: Account, paid: str | None) -> str:
    if name in _OF_THE_ACCOUNT:
        return str(getattr(account, name))
    if name == "third_party_reference":
        return new_third_party_reference()
    if name in ("transaction_id", "query_reference") and paid:
        return paid
    return _SENT[wire_name][1]


def _type(field: fields.Field[Any]) -> str:
    if isinstance(field, Amount):
        return "String (decimal)"
    return "String (MSISDN)" if isinstance(field, Msisdn) else "String"
