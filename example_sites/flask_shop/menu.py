"""What the café serves, in English; pages translate it where they show it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Item:
    slug: str
    name: str
    description: str
    price: Decimal


def english(text: str) -> str:
    """Mark a text for the catalogues, which are for more than where it stands."""
    return text


MENU: dict[str, list[Item]] = {
    english("To drink"): [
        Item("galao", english("Galão"), english("Espresso with much hot milk"), Decimal(120)),
        Item("espresso", english("Espresso"), english("Beans from Gorongosa"), Decimal(80)),
        Item("mint", english("Mint tea"), english("Leaves from our yard"), Decimal(90)),
        Item("mango", english("Mango juice"), english("Pressed when you order"), Decimal(150)),
    ],
    english("To eat"): [
        Item("nata", english("Custard tart"), english("Warm, with cinnamon"), Decimal(70)),
        Item("chamussas", english("Three chamussas"), english("With chicken"), Decimal(130)),
        Item("prego", english("Prego roll"), english("Steak and piri-piri"), Decimal("325.50")),
        Item("coconut", english("Coconut cake"), english("A thick slice"), Decimal(140)),
    ],
}  # fmt: skip
ITEMS = [item for items in MENU.values() for item in items]
