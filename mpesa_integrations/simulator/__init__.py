"""A local M-Pesa gateway to develop and test against: real TLS, real encryption, a real ledger."""

try:
    from .account import Account
    from .delivery import Delivery
    from .ledger import Ledger
    from .listener import PortTaken
    from .scenarios import SCENARIOS, Scenario
    from .server import Simulator
    from .transactions import Transaction
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "mpesa_integrations":
        raise
    raise ModuleNotFoundError(
        f"The local gateway needs {error.name}: pip install 'mpesa-integrations[simulator]'",
        name=error.name,
    ) from error

__all__ = [
    "SCENARIOS",
    "Account",
    "Delivery",
    "Ledger",
    "PortTaken",
    "Scenario",
    "Simulator",
    "Transaction",
]
