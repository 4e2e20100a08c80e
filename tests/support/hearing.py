"""Listens to a framework's signals, Django's or blinker's, for as long as a test lasts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def hearing(signals: Mapping[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """Give the names of the signals that are sent, each with a copy of what it then was about."""
    found: list[tuple[str, Any]] = []
    receivers = {}
    for name, signal in signals.items():

        def receive(sender: Any, _name: str = name, **values: Any) -> None:
            found.append((_name, copy.copy(values.get("transaction") or values.get("callback"))))

        receivers[name] = receive
        signal.connect(receive)
    yield found
    for name, signal in signals.items():
        signal.disconnect(receivers[name])
