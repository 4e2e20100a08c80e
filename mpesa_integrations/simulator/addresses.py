"""Where a gateway can be reached: host, ports, and the certificate authority to trust."""

from __future__ import annotations

from dataclasses import dataclass

# What means all addresses of a machine -> the one of them to call from the machine itself.
_ALL = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on


@dataclass(kw_only=True)
class Addresses:
    """The addresses of one gateway.

    Attributes:
        host: the address it listens on.
        port: the port it listens on; 0 until a free one is found.
        documented_ports: whether it listens on the gateway's documented ports as well.
        ca_file: path of the certificate authority to verify it with.
    """

    host: str
    port: int
    documented_ports: bool
    ca_file: str

    @property
    def reachable_host(self) -> str:
        """The host to call: this machine where it listens on all addresses."""
        return _ALL.get(self.host, self.host)

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        host = self.reachable_host
        return f"https://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Where the operations are; without a port where each listens on its documented one."""
        if self.documented_ports:
            return self.control_url.removesuffix(f":{self.port}")
        return self.control_url


def is_any(host: str) -> bool:
    """Whether a host means all addresses of a machine."""
    return host in _ALL
