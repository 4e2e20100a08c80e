"""What a call does: with the money, with the customer's prompt, and what is then answered.

As `steps`, so that whoever serves the call chooses how to wait. Its checks are in `checks`.
"""

from __future__ import annotations

from decimal import Decimal

from .account_state import AccountState
from .answers import (
    answer_as_scenario_says,
    answer_code,
    answer_name,
    answer_status,
)
from .endpoints import Endpoint
from .exchange import Answer, Request
from .front import looks_like_a_script
from .ledger import DuplicateReference
from .parameters import Parameters, Refused
from .phones import IGNORED
from .scenarios import SUCCESS, CallbackTiming, Processing, Scenario
from .steps import AskCustomer, Pause, Steps, UntilDone
from .transactions import Transaction

_AFTER_ANSWER = 1 / 3
"""How much longer, by its delay, a scenario that answers early takes to decide the payment."""


def carry_out(
    account: AccountState, endpoint: Endpoint, parameters: Parameters, request: Request
) -> Steps[Answer]:
    """Do what a checked request asks for, as its scenario has it.

    Raises:
        Refused: it cannot be done; with the code that fits.
    """
    scenario = _choose_scenario(account, endpoint, parameters, request)
    if endpoint.method == "GET":
        if scenario.delays:
            yield Pause(scenario.delay)
        true_answer = _look_up(account, endpoint, parameters)
    elif scenario.processing is Processing.NOTHING:
        true_answer = answer_code(endpoint, parameters, scenario.code)
    else:
        true_answer = yield from _process(account, endpoint, parameters, scenario)
    return answer_as_scenario_says(
        scenario, true_answer, endpoint=endpoint, parameters=parameters, request=request
    )


def _choose_scenario(
    account: AccountState, endpoint: Endpoint, parameters: Parameters, request: Request
) -> Scenario:
    amount = parameters.get("input_Amount") or parameters.get("input_ReversalAmount")
    scenario = account.scenarios.choose(
        operation=endpoint.operation,
        msisdn=parameters.get("input_CustomerMSISDN"),
        amount=Decimal(amount) if amount else None,
        third_party_reference=parameters["input_ThirdPartyReference"],
    )
    if scenario.scripts_only and not looks_like_a_script(request.headers.get("user-agent")):
        return SUCCESS
    return scenario


def _look_up(account: AccountState, endpoint: Endpoint, parameters: Parameters) -> Answer:
    if endpoint.operation == "query_customer_name":
        return answer_name(parameters)
    return answer_status(parameters, account.ledger.find(parameters["input_QueryReference"]))


def _process(
    account: AccountState, endpoint: Endpoint, parameters: Parameters, scenario: Scenario
) -> Steps[Answer]:
    """Do with the money what the scenario says, and give the answer that says so truly."""
    asks = _asks_customer(account, endpoint, scenario)
    if asks and account.phones.crowded:
        return answer_code(endpoint, parameters, "INS-16")
    transaction = _begin(account, endpoint, parameters)
    if scenario.answers_early:
        yield Pause(scenario.delay)
        settling = _settle(account, transaction, scenario, pause=scenario.delay * _AFTER_ANSWER)
        account.callbacks.schedule(transaction, settling, scenario.callback)
        return answer_code(endpoint, parameters, "INS-0", transaction)
    if account.callbacks.url is not None:
        late = scenario.delays or scenario.callback is CallbackTiming.DELAYED
        pause = scenario.delay if late else 0.0
        settling = _settle(account, transaction, scenario, pause=pause, asks=asks)
        work = account.callbacks.schedule(transaction, settling, scenario.callback)
        if scenario.callback is CallbackTiming.BEFORE_ANSWER:
            yield UntilDone(work)
        return answer_code(endpoint, parameters, "INS-0", transaction)
    pause = scenario.delay if scenario.delays else 0.0
    settled = yield from _settle(account, transaction, scenario, pause=pause, asks=asks)
    # No code: the ledger was emptied meanwhile, and nobody can say any more what became of it.
    return answer_code(endpoint, parameters, settled.code or "INS-1", settled)


def _asks_customer(account: AccountState, endpoint: Endpoint, scenario: Scenario) -> bool:
    """Whether a person is to decide: only where no scenario has decided for the customer."""
    is_left_open = endpoint.operation == "c2b" and scenario.name == SUCCESS.name
    return is_left_open and not account.auto_approve


def _settle(
    account: AccountState,
    transaction: Transaction,
    scenario: Scenario,
    *,
    pause: float,
    asks: bool = False,
) -> Steps[Transaction]:
    """Decide a pending transaction.

    Args:
        pause: seconds before: until then a status query says Pending, as with a real customer.
        asks: whether the customer is asked; else the scenario decides.
    """
    if pause:
        yield Pause(pause)
    if asks:
        code = (yield AskCustomer(transaction, account.phones)) or IGNORED
    else:
        code = scenario.code if scenario.processing is Processing.DECLINE else "INS-0"
    return account.ledger.settle(transaction, code)


def _begin(account: AccountState, endpoint: Endpoint, parameters: Parameters) -> Transaction:
    ours = account.service_provider_code
    reference = parameters["input_ThirdPartyReference"]
    known = account.ledger.find(reference)
    if known is not None and known.third_party_reference == reference:
        # Before all else: what else is wrong with it may be the first request's own doing.
        raise Refused("INS-10")
    original = None
    if endpoint.operation == "reversal":
        original = _find_original(account, parameters["input_TransactionID"])
        amount = _reversal_amount(original, parameters.get("input_ReversalAmount"))
        payer, payee = original.payee, original.payer
    else:
        amount = Decimal(parameters["input_Amount"])
        other = parameters.get("input_CustomerMSISDN") or parameters["input_ReceiverPartyCode"]
        payer, payee = (other, ours) if endpoint.operation == "c2b" else (ours, other)
    try:
        return account.ledger.begin(
            operation=endpoint.operation,
            third_party_reference=reference,
            transaction_reference=parameters.get("input_TransactionReference"),
            payer=payer,
            payee=payee,
            amount=amount,
            original=original,
        )
    except DuplicateReference:
        raise Refused("INS-10") from None


def _find_original(account: AccountState, transaction_id: str) -> Transaction:
    found = account.ledger.find(transaction_id)
    if (
        found is None
        or found.transaction_id != transaction_id
        or found.status != "Completed"
        or found.operation == "reversal"
    ):
        raise Refused("INS-18")
    return found


def _reversal_amount(original: Transaction, asked: str | None) -> Decimal:
    left = original.amount - original.reversed_amount
    if left <= 0:
        raise Refused("INS-6")  # all of it was given back before
    amount = Decimal(asked) if asked is not None else left
    if amount > left:
        raise Refused("INS-15")
    return amount
