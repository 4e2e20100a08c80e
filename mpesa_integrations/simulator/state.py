"""The state of one gateway: account, ledger, scenarios, phones, callbacks, journal.

What all its faces share (the operations, the control interface, the portal), and none of them: this
knows no HTTP server and no web framework.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path

from mpesa_integrations.core.settings.client import MpesaConfig

from .account import SERVICE_PROVIDER_CODE, Account, Credentials
from .callbacks import Callbacks
from .calls import CALLS_FILE, CallLog
from .journal import callback_entry
from .ledger import LEDGER_FILE, Ledger
from .phones import Phones
from .scenario_queue import Scenarios
from .tls import prepare_certificates


class GatewayState:
    """The state of one gateway.

    Args:
        state_dir: where keys, certificates and ledger are kept over restarts; None means a
            temporary directory that goes with the gateway.
        host: the address it listens on.
        port: the port it listens on; 0 until a free one is found.
        documented_ports: whether it listens on the gateway's documented ports as well.
        hostnames: further names for the certificate.

    Attributes:
        ledger: wallets and transactions.
        scenarios: what is to happen to coming requests.
        callbacks: asynchronous mode's deliveries.
        phones: the customers' PIN prompts, where `auto_approve` is off.
        calls: the journal of calls and callbacks.
        credentials: the account's keys.
        stopping: set once the gateway stops, so that nothing waits any longer.
    """

    service_provider_code = SERVICE_PROVIDER_CODE

    def __init__(
        self,
        state_dir: Path | str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        documented_ports: bool = False,
        hostnames: Collection[str] = (),
    ) -> None:
        self._temporary = state_dir is None
        self.state_dir = Path(state_dir or tempfile.mkdtemp(prefix="mpesa-simulator-")).absolute()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.documented_ports = documented_ports
        self._port = port
        self.stopping = threading.Event()
        self.credentials = Credentials(self.state_dir)
        self.ledger = Ledger(self.state_dir / LEDGER_FILE)
        self.ledger.open_business(self.service_provider_code)
        self.scenarios = Scenarios()
        self.phones = Phones()
        self.calls = CallLog(self.state_dir / CALLS_FILE)
        self.callbacks = Callbacks(
            self.phones.ask, lambda delivery: self.calls.record(callback_entry(delivery))
        )
        self._ca_file, self._certificate = prepare_certificates(
            self.state_dir, [name for name in (host, *hostnames) if not _is_any(name)]
        )

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        return f"https://{_in_url(self._reachable_host)}:{self._port}"

    @property
    def base_url(self) -> str:
        """Where the operations are; without a port where each listens on its documented one."""
        if self.documented_ports:
            return f"https://{_in_url(self._reachable_host)}"
        return self.control_url

    @property
    def account(self) -> Account:
        """What a caller must know, as it stands now."""
        return Account(
            api_key=self.credentials.api_key,
            public_key=self.credentials.public_key,
            service_provider_code=self.service_provider_code,
            initiator_identifier=self.credentials.initiator_identifier,
            security_credential=self.credentials.security_credential,
            ca_file=str(self._ca_file),
            base_url=self.base_url,
            control_url=self.control_url,
        )

    @property
    def config(self) -> MpesaConfig:
        """Settings for a client of this gateway."""
        return MpesaConfig(
            api_key=self.credentials.api_key,
            public_key=self.credentials.public_key,
            service_provider_code=self.service_provider_code,
            environment="local",
            host=self._reachable_host,
            port=None if self.documented_ports else self._port,
            verify=str(self._ca_file),
            initiator_identifier=self.credentials.initiator_identifier,
            security_credential=self.credentials.security_credential,
        )

    @property
    def response_url(self) -> str | None:
        """The asynchronous response URL; None in synchronous mode.

        Setting it raises a ValueError that says why, where the gateway would not call the URL.
        """
        return self.callbacks.url

    @response_url.setter
    def response_url(self, url: str | None) -> None:
        self.callbacks.url = url

    @property
    def auto_approve(self) -> bool:
        """Whether customers approve C2B payments at once; otherwise each waits for a person."""
        return self.phones.auto_approve

    @auto_approve.setter
    def auto_approve(self, value: bool) -> None:
        self.phones.auto_approve = value

    def renew_api_key(self) -> str:
        """Make a new API key, as the portal's button does: the old one is refused at once."""
        api_key = self.credentials.renew_api_key()
        self.account.write(self.state_dir)
        return api_key

    def reset(self) -> None:
        """Empty ledger and journal, drop scenarios, deliveries and prompts, return to sync mode."""
        self.phones.reset()
        self.callbacks.reset()
        self.scenarios.clear()
        self.ledger.clear()
        self.ledger.open_business(self.service_provider_code)
        self.calls.clear()

    def end_waiting(self) -> None:
        """End what is under way: pauses, PIN prompts, callbacks. Nothing waits afterwards."""
        self.stopping.set()
        self.phones.stop()
        self.callbacks.stop()

    def close(self) -> None:
        """Close the files, and remove a temporary state directory."""
        self.ledger.close()
        self.calls.close()
        if self._temporary:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    @property
    def _reachable_host(self) -> str:
        return "127.0.0.1" if _is_any(self.host) else self.host


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - asked about, not listened on


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
