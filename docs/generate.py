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
from pathlib import Path

from griffe import Docstring, DocstringSectionKind

from mpesa_integrations.core.markets.mozambique.codes import CODES
from mpesa_integrations.core.markets.mozambique.operations import OPERATIONS
from mpesa_integrations.core.payments.lifecycle import (
    Evidence,
    State,
    evidence_of_answer,
    evidence_of_status,
    transition,
)
from mpesa_integrations.core.payments.records import EVENT_OF_STATE, Event
from mpesa_integrations.core.protocol.codes import Kind
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
    """States × evidence → what becomes of the payment, and the signal."""
    heading = ["it is", *(f"`{evidence}`" for evidence in Evidence)]
    return _rows(heading, ([f"`{s}`", *(_cell(s, e) for e in Evidence)] for s in State))


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


def client_settings() -> str:
    """The settings of `MpesaConfig`."""
    return _settings(MpesaConfig, [field.name for field in dataclasses.fields(MpesaConfig)])


def account_settings() -> str:
    """The further settings of an account in a framework."""
    return _settings(AccountSettings, [name.lower() for name in ACCOUNT_SETTINGS])


def ports() -> str:
    """The port of each operation, for a firewall."""
    rows = (
        [f"`{operation.name}`", str(operation.port), "yes" if operation.moves_money else "no"]
        for operation in OPERATIONS.values()
    )
    return _rows(["operation", "port", "moves money"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "lifecycle": lifecycle,
    "evidence-of-kinds": evidence_of_kinds,
    "evidence-of-statuses": evidence_of_statuses,
    "codes": codes,
    "client-settings": client_settings,
    "account-settings": account_settings,
    "ports": ports,
}


def _cell(state: State, evidence: Evidence) -> str:
    step = transition(state, evidence)
    if step.conflict:
        return f"stays; kept as a conflict<br>`{Event.CONFLICT}`"
    if not step.changed:
        return "stays"
    return f"**{step.state}**<br>`{EVENT_OF_STATE[step.state]}`"


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
