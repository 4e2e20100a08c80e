"""What a market is: everything in which one country's gateway differs from another's, as data.

The markets themselves are in `core.markets`; nothing here knows which there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .codes import GatewayCode
from .msisdn import Numbering
from .operations import Operation
from .schemas import AnswerSchema, CallbackSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Where a market's gateway is reached.

    Attributes:
        host: host name or address.
        other_hosts: what else the same gateway is reached by.
        port: one port for all operations; None means each operation's documented port.
        path: what stands before each operation's path, as `/sandbox`; mostly nothing.
    """

    host: str
    port: int | None = None
    path: str = ""
    other_hosts: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """All names of the gateway, in small letters."""
        return (self.host, *self.other_hosts)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Market:
    """One country's gateway.

    Attributes:
        name: as `mozambique`.
        currency: of all amounts, by its ISO 4217 code, as `MZN`.
        environments: where the gateway is, by the names that the setting `environment` takes;
            `sandbox` and `production` are among them.
        origin: the `Origin` header, unless an account sets another.
        shortcode: what a business's shortcode is, as a regular expression.
        shortcode_rule: the same in words, as they follow the setting's name.
        sandbox_shortcode: the only shortcode that the sandbox takes, which the live gateway must
            not be called with; None where there is no such rule.
        numbering: the phone numbers that M-Pesa is on.
        operations: the table of operations, by name.
        codes: the response codes, with their table.
        argument_of_code: which argument the gateway means, where a code tells.
        answer_schema: reads the answer of an operation that is not in the table.
        reference_parameter: the parameter with the request's third-party reference.
        callback_schema: reads an asynchronous result.
        callback_ports: the ports that the gateway calls back; None means any.
    """

    name: str
    currency: str
    environments: Mapping[str, Environment]
    origin: str
    shortcode: str
    shortcode_rule: str
    sandbox_shortcode: str | None
    numbering: Numbering
    operations: Mapping[str, Operation]
    codes: type[GatewayCode]
    argument_of_code: Mapping[GatewayCode, str]
    answer_schema: type[AnswerSchema]
    reference_parameter: str
    callback_schema: type[CallbackSchema]
    callback_ports: range | None
