"""A local M-Pesa gateway to develop and test against: real TLS, real encryption, a real ledger."""

from .account import Account
from .delivery import Delivery
from .ledger import Ledger
from .listener import PortTaken
from .scenarios import SCENARIOS, Scenario
from .server import Simulator
from .transactions import Transaction

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
