"""Writes the tables of the documentation that are facts of the code: `python docs/generate.py`.

A page says where: between `<!-- table: name -->` and `<!-- end -->`. A test holds that the
committed pages are what this writes.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import griffe
from griffe import Docstring, DocstringSectionKind

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.payments.customer_messages import customer_message
from mpesa_integrations.core.payments.events import WORD_OF_OPERATION, Event, event_of
from mpesa_integrations.core.payments.lifecycle import (
    Evidence,
    State,
    evidence_of_answer,
    evidence_of_status,
    transition,
)
from mpesa_integrations.core.payments.orders import PAID_STATES
from mpesa_integrations.core.payments.records import NOT_SENT_IN_TIME, WITHDRAWN
from mpesa_integrations.core.protocol.codes import Advice, Kind
from mpesa_integrations.core.protocol.results import TransactionStatus
from mpesa_integrations.core.settings.account import ACCOUNT_SETTINGS, AccountSettings
from mpesa_integrations.core.settings.client import MpesaConfig

PAGES = Path(__file__).parent
_TABLE = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NEEDED = ("api_key", "public_key", "service_provider_code")


def fill(page: str) -> str:
    """Give a page's text with its tables as the code has them now."""

    def write(found: re.Match[str]) -> str:
        return f"{found[1]}{TABLES[found[2]]()}{found[3]}"

    return _TABLE.sub(write, page)


def lifecycle() -> str:
    """States × evidence → what becomes of the payment, and the signal of a conflict."""
    heading = ["it is", *(f"`{evidence}`" for evidence in Evidence)]
    return _rows(heading, ([f"`{s}`", *(_cell(s, e) for e in Evidence)] for s in State))


def signals() -> str:
    """States × operations → the signal; operations with the same signals share a column."""
    operations: dict[str, list[str]] = {}
    for operation, word in WORD_OF_OPERATION.items():
        operations.setdefault(word, []).append(operation)
    heading = [", ".join(f"`{name}`" for name in names) for names in operations.values()]
    meant = griffe.load(State.__module__, search_paths=[PAGES.parent])[State.__name__].members
    rows = (
        [
            f"`{state}`",
            *(_event(names[0], state) for names in operations.values()),
            meant[state.name].docstring.value,
        ]
        for state in State
    )
    return _rows(["it is now", *heading, "that is"], rows)


def evidence_of_kinds() -> str:
    """What an answer or a callback of each kind says of a payment."""
    return _rows(
        ["answer or callback", "is the evidence"],
        ([f"`{kind}`", f"`{evidence_of_answer(kind)}`"] for kind in Kind),
    )


def evidence_of_statuses() -> str:
    """What a status query's answer says of a payment."""
    statuses = [(status.value, evidence_of_status(status)) for status in TransactionStatus]
    statuses.append(("`N/A`, or any other", evidence_of_status(None)))
    return _rows(
        ["status query", "is the evidence"], ([name, f"`{said}`"] for name, said in statuses)
    )


def codes() -> str:
    """The gateway's response codes."""
    rows = (
        [f"`{code}`", str(info.http_status), info.meaning, f"`{info.kind}`"]
        for code, info in CODES.items()
    )
    return _rows(["code", "HTTP", "meaning", "kind"], rows)


def customer_messages(language: str = "en") -> str:
    """What a customer reads, by where the payment, the payout or the reversal stands."""
    words = _WORDS[language]
    rows = []

    def add(what: str, records: list[Any]) -> None:
        rows.append([what, *(customer_message(one).in_language(language) for one in records)])

    for state in State:
        if state is State.FAILED:
            continue
        records = [_record(name, state) for name in ("c2b", "b2c")]
        add(f"`{state}`", records)
        if state in PAID_STATES:
            for record in records:
                record.reversal_pending = Decimal(30)
            add(f"`{state}`{words['being given back']}", records)
    for state, said in ((State.FAILED, NOT_SENT_IN_TIME), (State.CANCELLED, WITHDRAWN)):
        records = [_record(name, state) for name in ("c2b", "b2c")]
        for record in records:
            record.response_description = said
        add(f"`{state}`: {words[said]}", records)
    return _rows(list(words["customer heading"]), rows)


def customer_advice() -> str:
    """What a customer reads whose payment failed, by its code."""
    rows = []
    for advice in Advice:
        after = [code for code, info in CODES.items() if info.advice is advice]
        said = customer_message(_record("c2b", State.FAILED, after[0]))
        rest = ["any other"] if advice is Advice.TRY_AGAIN else []
        named = ", ".join([*(f"`{code}`" for code in after), *rest])
        rows.append([named, said, said.in_language("pt")])
    return _rows(["after", "the customer reads", "em português"], rows)


def client_settings() -> str:
    """The settings of `MpesaConfig`."""
    return _settings(MpesaConfig, [field.name for field in dataclasses.fields(MpesaConfig)])


def account_settings() -> str:
    """The further settings of an account in a framework."""
    return _settings(AccountSettings, [name.lower() for name in ACCOUNT_SETTINGS])


def ports(language: str = "en") -> str:
    """The port of each operation, for a firewall."""
    words = _WORDS[language]
    rows = (
        [f"`{one.name}`", str(one.port), words["yes"] if one.moves_money else words["no"]]
        for one in OPERATIONS.values()
    )
    return _rows(list(words["ports heading"]), rows)


_WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "customer heading": ("it is", "who pays reads", "of a payout, who gets it reads"),
        "being given back": ", and 30.00 MZN of it is being given back",
        NOT_SENT_IN_TIME: "not sent in time",
        WITHDRAWN: "withdrawn before it was sent",
        "ports heading": ("operation", "port", "moves money"),
        "yes": "yes",
        "no": "no",
    },
    "pt": {
        "customer heading": ("está", "quem paga lê", "de um pagamento a cliente, quem o recebe lê"),
        "being given back": ", e 30,00 MZN dele estão a ser devolvidos",
        NOT_SENT_IN_TIME: "não enviado a tempo",
        WITHDRAWN: "retirado antes de ser enviado",
        "ports heading": ("operação", "porta", "move dinheiro"),
        "yes": "sim",
        "no": "não",
    },
}

TABLES: dict[str, Callable[[], str]] = {
    "lifecycle": lifecycle,
    "signals": signals,
    "evidence-of-kinds": evidence_of_kinds,
    "evidence-of-statuses": evidence_of_statuses,
    "codes": codes,
    "customer-messages": customer_messages,
    "customer-messages-pt": partial(customer_messages, "pt"),
    "customer-advice": customer_advice,
    "client-settings": client_settings,
    "account-settings": account_settings,
    "ports": ports,
    "ports-pt": partial(ports, "pt"),
}


def _cell(state: State, evidence: Evidence) -> str:
    step = transition(state, evidence)
    if step.conflict:
        return f"stays; kept as a conflict<br>`{Event.PAYMENT_CONFLICT}`"
    if not step.changed:
        return "stays"
    return f"**{step.state}**"


def _event(operation: str, state: State) -> str:
    try:
        return f"`{event_of(operation, state)}`"
    except ValueError:
        return "never"


def _record(operation: str, state: State, code: str = "") -> Any:
    """A payment of 150 meticais, of which 50 were given back where that is what it is about."""
    return SimpleNamespace(
        operation=operation, state=state, response_code=code, conversation_id="", conflict="",
        response_description="", conflict_decided_at=None, stuck_at=None,
        amount=Decimal(150), reversed_amount=Decimal(50), reversal_pending=Decimal(0),
        currency="MZN",
    )  # fmt: skip


def _settings(owner: type, names: list[str]) -> str:
    """A row each: the name, the default, and what the class's docstring says of it."""
    said = _documented(owner)
    defaults = {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(owner)
    }
    return _rows(
        ["setting", "default", ""],
        ([f"`{name.upper()}`", _default(name, defaults[name]), said[name]] for name in names),
    )


def _documented(owner: type) -> dict[str, str]:
    sections = Docstring(inspect.getdoc(owner) or "").parse("google", warnings=False)
    return {
        item.name: " ".join(item.description.split())
        for section in sections
        if section.kind in (DocstringSectionKind.parameters, DocstringSectionKind.attributes)
        for item in section.value
    }


def _default(name: str, value: object) -> str:
    if name in _NEEDED:
        return "needed"
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.0f} seconds"
    return f"`{value}`" if isinstance(value, (str, bool)) else str(value)


def _rows(heading: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for path in sorted(PAGES.glob("**/*.md")):
        text = path.read_text(encoding="utf-8")
        path.write_text(fill(text), encoding="utf-8")
