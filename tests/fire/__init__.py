"""A whole business under fire; `make fire`."""

import os
import socket


def _free_ports() -> int:
    """The first of two ports that nobody listens on, among those that the gateway calls."""
    for port in range(11_100 + os.getpid() % 5_000, 19_000, 2):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no two free ports from 11000 to 19000")


# Set once, in the process that begins; its workers inherit them.
os.environ.setdefault("FIRE_RUN", f"_{os.getpid()}")
if "FIRE_PORT" not in os.environ:
    os.environ["FIRE_PORT"] = str(_free_ports())
