"""A first payment, start to end, against a local gateway: what `make demo` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpesa_integrations import MpesaClient
from mpesa_integrations.core.client.transport import RequestsTransport
from mpesa_integrations.core.masking import mask_msisdns_in
from mpesa_integrations.core.protocol.http import HttpRequest, HttpResponse
from mpesa_integrations.simulator import Simulator

console = Console(highlight=False, width=110)
SECRETS = ("Authorization", "input_SecurityCredential")


class ShowingTransport(RequestsTransport):
    """Sends as the library does, and shows what is sent and answered, secrets masked."""

    def send(self, request: HttpRequest) -> HttpResponse:
        console.print(f"[bold]→ {request.method}[/] {mask_msisdns_in(request.url)}")
        show(request.headers)
        if request.body:
            show(json.loads(request.body))
        response = super().send(request)
        console.print(f"[bold]← HTTP {response.status}[/]")
        show(json.loads(response.body))
        return response


def show(fields: Mapping[str, str]) -> None:
    for name, value in fields.items():
        shown = f"{value[:10]}… (masked)" if name in SECRETS else mask_msisdns_in(value)
        console.print(f"    {name}: {shown}", markup=False)


def show_ledger(simulator: Simulator) -> None:
    table = Table("operation", "amount", "reversed", "status", "transaction ID", title="Ledger")
    for entry in simulator.ledger.transactions():
        table.add_row(
            entry.operation,
            f"{entry.amount:.2f}",
            f"{entry.reversed_amount:.2f}",
            entry.status,
            entry.transaction_id,
        )
    console.print(table)
    console.print(f"All wallets together: {simulator.ledger.total():.2f} MZN")


def main() -> None:
    state_dir = Path(".demo")
    with (
        Simulator(state_dir) as simulator,
        MpesaClient(simulator.config, transport=ShowingTransport()) as client,
    ):
        simulator.reset()
        console.rule(f"Local gateway at {simulator.base_url}, account in {state_dir}/account.json")
        console.rule("A customer pays 150.00 MZN (C2B)")
        paid = client.c2b(msisdn="84 123 4567", amount="150.00", reference="INVOICE 7")
        console.rule("Where does it stand? (status query)")
        found = client.query_transaction_status(query_reference=str(paid.third_party_reference))
        console.rule("50.00 MZN go back (partial reversal)")
        client.reverse(transaction_id=str(paid.transaction_id), amount=50)
        console.rule()
        show_ledger(simulator)
        booked = simulator.ledger.find(str(paid.transaction_id))
        if booked is None or booked.reversed_amount != 50 or found.transaction_status is None:
            raise SystemExit("The ledger does not show what was paid")


if __name__ == "__main__":
    main()
