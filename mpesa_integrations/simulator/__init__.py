"""A local M-Pesa gateway to develop and test against: real TLS, real encryption, a real ledger."""

from .account import Account
from .callbacks import Delivery
from .ledger import Ledger, Transaction
from .scenarios import SCENARIOS, Scenario
from .server import PortTaken, Simulator

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
