"""Network addresses as servers and proxies write them, and the networks they are in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX: Literal["unix"] = "unix"
"""Stands, among trusted proxies, for a peer on a unix socket, which has no address."""
# Nothing with gunicorn and uvicorn; what waitress, Werkzeug and nginx write in its place.
_UNIX_PEERS = ("", "localhost", "<local>", "unix:")
_WITH_PORT = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^]]*)\](?::[0-9]{1,5})?")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def read_address(text: str) -> str | None:
    """Bring an address to its plain form: no port, no zone, and no IPv4 in IPv6's clothes.

    Args:
        text: as `196.201.214.200`, `196.201.214.200:5678`, `[2001:db8::1]:443`, `fe80::1%eth0` or
            `::ffff:196.201.214.200`.

    Returns:
        The address, or None where the text is none.
    """
    text = text.strip().strip('"')
    found = _WITH_PORT.fullmatch(text)
    text = (found["v4"] or found["v6"]) if found else text
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def read_network(text: str) -> Network:
    """Read a network, or a single address, in its plain form.

    Raises:
        ValueError: it is none.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        plain = network.network_address.ipv4_mapped
        return ipaddress.ip_network(f"{plain}/{network.prefixlen - 96}")
    return network


def within(address: str | None, networks: Iterable[Network]) -> bool:
    """Whether a plain address is in one of the networks; one that is not known is in none."""
    if address is None:
        return False
    found = ipaddress.ip_address(address)
    return any(found in network for network in networks)


def is_unix_socket(peer: str) -> bool:
    """Whether a server names its peer as it does one on a unix socket."""
    return peer in _UNIX_PEERS or peer.startswith("unix:")
