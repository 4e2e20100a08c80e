"""One call to the gateway from request to answer, whatever listener took it.

Which operations there are is in `endpoints`, what is refused in `checks`, what a call does in
`processing`.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone

from .account_state import AccountState
from .answers import answer_code
from .checks import check_bearer, check_parameters
from .endpoints import DOCUMENTED_PORTS, Endpoint, find_endpoint
from .exchange import Answer, Request
from .journal import call_entry, sent_parameters
from .parameters import Parameters, Refused, read_parameters
from .processing import carry_out
from .state import GatewayState
from .steps import Steps

logger: logging.Logger = logging.getLogger("mpesa_integrations.simulator")


async def answer_call_in_background(gateway: GatewayState, request: Request) -> Answer:
    """Answer a call in the gateway's event loop, which does other things while it waits."""
    return await gateway.background.walk_through(
        steps_of_call(gateway, request), interruption=gateway.interruption
    )


def steps_of_call(gateway: GatewayState, request: Request) -> Steps[Answer]:
    """The work of a call, which gives its answer; the call and its answer go to the journal."""
    endpoint = find_endpoint(request.path)
    if endpoint is None or _came_by_another_port(gateway, request, endpoint):
        return Answer(404, content_type="text/html")
    if request.method != endpoint.method:
        return Answer(405, content_type="text/html")
    parameters: Parameters = {}
    at, started = datetime.now(timezone.utc), time.monotonic()
    account = gateway.account_of(request.headers.get("authorization"))
    journal = (account or _account_meant(gateway, endpoint, request)).calls
    era = journal.era
    try:
        caller = check_bearer(account)
        parameters = read_parameters(endpoint, request)
        check_parameters(caller, endpoint, parameters)
        answer = yield from carry_out(caller, endpoint, parameters, request)
    except Refused as refused:
        answer = answer_code(endpoint, parameters, refused.code)
    logger.info(
        "gateway.answered operation=%s third_party_reference=%r http_status=%s",
        endpoint.operation,
        parameters.get("input_ThirdPartyReference"),
        answer.status,
    )
    seconds = time.monotonic() - started
    entry = call_entry(endpoint, request, answer, at=at, seconds=seconds)
    journal.record(entry, era=era)
    return answer


def _account_meant(gateway: GatewayState, endpoint: Endpoint, request: Request) -> AccountState:
    """Whose journal a call with a wrong bearer goes to: who made it looks for it there."""
    parameters = sent_parameters(endpoint, request)
    named = parameters.get("input_ServiceProviderCode") or parameters.get("input_PrimaryPartyCode")
    return gateway.accounts.get(str(named), gateway)


def _came_by_another_port(gateway: GatewayState, request: Request, endpoint: Endpoint) -> bool:
    """Whether this is the documented port of another operation."""
    serves_documented = gateway.addresses.documented_ports and request.port in DOCUMENTED_PORTS
    return serves_documented and request.port != endpoint.port
