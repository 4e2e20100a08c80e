"""What the gateway answers: the documented fields, and what a scenario makes of them.

Source: docs/protocol.md, "Answers". What is done with the money is in `processing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from mpesa_integrations.core.markets.mozambique.codes import ResponseCode

from .endpoints import PREFIX, Endpoint
from .exchange import Answer, Request
from .parameters import Parameters
from .scenarios import Reply, Scenario
from .transactions import Transaction

NOT_APPLICABLE = "N/A"
_HUGE = 2 * 1024 * 1024
_PAGES = {403: "403 Forbidden", 502: "502 Bad Gateway", 504: "504 Gateway Time-out"}
_ERROR = "Invalid API Key or session"
_FIRST_NAMES = ("Am**ia", "Jo*o", "Ma**a", "Ca**os", "Fa**ma", "Pe**o", "Ce**a", "An**nio")
_LAST_NAMES = ("Ma**el", "Si**e", "Co**a", "Nh**tumbo", "Mu**nga", "Ta**e", "Ch**ano")


def answer_code(
    endpoint: Endpoint, parameters: Parameters, code: str, transaction: Transaction | None = None
) -> Answer:
    """Answer a code, with the IDs of the transaction if there is one."""
    status = _status_of(code)
    if code == "INS-0" and endpoint.method != "GET":
        status = 201
    return _about(transaction, _json(status, _fields(parameters, code, transaction)))


def answer_status(parameters: Parameters, found: Transaction | None) -> Answer:
    """Answer a status query; a transaction that there is not has no status."""
    fields = _fields(parameters, "INS-0", found)
    status = found.status if found else NOT_APPLICABLE
    return _about(found, _json(200, {**fields, "output_ResponseTransactionStatus": status}))


def answer_name(parameters: Parameters) -> Answer:
    """Answer a name query, under the names that only this operation has; each number has a name."""
    number = int(parameters["input_CustomerMSISDN"])
    name = f"{_FIRST_NAMES[number % len(_FIRST_NAMES)]} {_LAST_NAMES[number % len(_LAST_NAMES)]}"
    fields = _fields(parameters, "INS-0", None)
    code, description = fields.pop("output_ResponseCode"), fields.pop("output_ResponseDesc")
    return _json(
        200,
        {
            "output_ResultCode": code,
            "output_ResultDesc": description,
            **fields,
            "output_CustomerName": name,
        },
    )


def answer_as_scenario_says(
    scenario: Scenario,
    true_answer: Answer,
    *,
    endpoint: Endpoint,
    parameters: Parameters,
    request: Request,
) -> Answer:
    """Turn the true answer into what the scenario lets the caller see of it."""
    if scenario.reply is Reply.CODE:
        shown = answer_code(endpoint, parameters, scenario.code)
    elif scenario.reply is Reply.REDIRECT:
        path = request.path.replace(PREFIX, "/elsewhere/")
        shown = Answer(307, content_type="text/html", location=f"{request.address}{path}")
    else:
        shown = _REPLIES[scenario.reply](scenario, true_answer)
    return replace(shown, conversation_id=true_answer.conversation_id)


def _status_of(code: str) -> int:
    return ResponseCode(code).http_status or 400


def _fields(parameters: Parameters, code: str, transaction: Transaction | None) -> dict[str, str]:
    known = ResponseCode(code)
    return {
        "output_ResponseCode": code,
        "output_ResponseDesc": known.meaning if known.known else "Undocumented condition",
        "output_TransactionID": (transaction and transaction.transaction_id) or NOT_APPLICABLE,
        "output_ConversationID": transaction.conversation_id if transaction else NOT_APPLICABLE,
        "output_ThirdPartyReference": parameters.get("input_ThirdPartyReference") or NOT_APPLICABLE,
    }


def _about(transaction: Transaction | None, answer: Answer) -> Answer:
    return replace(answer, conversation_id=transaction.conversation_id if transaction else "")


def _json(status: int, fields: dict[str, str]) -> Answer:
    return Answer(status, json.dumps(fields).encode())


def _result(scenario: Scenario, answer: Answer) -> Answer:
    # What is accepted to be declined later has nothing to say of it yet.
    if scenario.http_status is None or answer.status < 400:
        return answer
    return replace(answer, status=scenario.http_status)


def _code_and_ids(scenario: Scenario, answer: Answer) -> Answer:
    said = {
        "output_ResponseCode": scenario.code,
        "output_ResponseDesc": ResponseCode(scenario.code).meaning,
    }
    return _json(_status_of(scenario.code), {**answer.fields, **said})


def _error(scenario: Scenario, answer: Answer) -> Answer:
    return _json(scenario.http_status or 401, {"output_error": _ERROR})


def _page(scenario: Scenario, answer: Answer) -> Answer:
    status = scenario.http_status or 502
    page = f"<html><body><h1>{_PAGES[status]}</h1></body></html>"
    return Answer(status, page.encode(), content_type="text/html; charset=utf-8")


def _wrong_reference(scenario: Scenario, answer: Answer) -> Answer:
    return _json(answer.status, {**answer.fields, "output_ThirdPartyReference": "SOMEBODYELSES1"})


def _huge(scenario: Scenario, answer: Answer) -> Answer:
    return _json(answer.status, {**answer.fields, "padding": "x" * _HUGE})


_REPLIES: dict[Reply, Callable[[Scenario, Answer], Answer]] = {
    Reply.RESULT: _result,
    Reply.CODE_AND_IDS: _code_and_ids,
    Reply.ERROR: _error,
    Reply.HTML: _page,
    Reply.EMPTY: lambda scenario, answer: replace(answer, status=200, body=b""),
    Reply.TRUNCATED: lambda scenario, answer: replace(
        answer, body=answer.body[: len(answer.body) // 2]
    ),
    Reply.HUGE: _huge,
    Reply.WRONG_REFERENCE: _wrong_reference,
    Reply.CUT: lambda scenario, answer: replace(answer, cut=True),
}
