"""The state of one gateway: its key, certificates and event loop, and its accounts.

What all its faces share (the operations, the control interface, the portal), and none of them: this
knows no HTTP server and no web framework.
"""

from __future__ import annotations

import hmac
import shutil
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path

from .account import SERVICE_PROVIDER_CODE
from .account_state import AccountState
from .addresses import Addresses, is_any
from .background import Background, Interruption
from .gateway_key import GatewayKey
from .tls import prepare_certificates

_ACCOUNTS_DIRECTORY = "accounts"
_FIRST_OPENED = 200_001


class GatewayState(AccountState):
    """The state of one gateway, which is its first account itself: the one that is ready-made.

    Args:
        state_dir: where keys, certificates and ledger are kept over restarts; None means a
            temporary directory that goes with the gateway.
        host: the address it listens on.
        port: the port it listens on; 0 until a free one is found.
        documented_ports: whether it listens on the gateway's documented ports as well.
        hostnames: further names for the certificate.

    Attributes:
        key: reads bearer tokens.
        background: the event loop that calls wait in.
        interruption: cuts the calls' pauses short there.
    """

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
        directory = Path(state_dir or tempfile.mkdtemp(prefix="mpesa-simulator-"))
        self.state_dir: Path = directory.absolute()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.background: Background = Background()
        self.interruption: Interruption = Interruption(self.background)
        self.key: GatewayKey = GatewayKey(self.state_dir)
        ca_file, self._certificate = prepare_certificates(
            self.state_dir, [name for name in (host, *hostnames) if not is_any(name)]
        )
        super().__init__(
            self.state_dir,
            service_provider_code=SERVICE_PROVIDER_CODE,
            public_key=self.key.public_key,
            addresses=Addresses(
                host=host, port=port, documented_ports=documented_ports, ca_file=str(ca_file)
            ),
            background=self.background,
        )
        self._opening = threading.Lock()
        self._opened: dict[str, AccountState] = {}
        for directory in sorted(self._accounts_directory.glob("*")):
            if directory.name.isdecimal():  # and no copy that somebody made of one
                self._opened[directory.name] = self._account_at(directory)

    @property
    def accounts(self) -> dict[str, AccountState]:
        """All accounts by their shortcodes, the ready-made one first."""
        return {self.service_provider_code: self, **self._opened}

    def open_account(self) -> AccountState:
        """Open an account: a shortcode, keys, wallets and a journal of its own."""
        with self._opening:
            code = str(max(map(int, self._opened), default=_FIRST_OPENED - 1) + 1)
            account = self._account_at(self._accounts_directory / code)
            account.publish()
            self._opened = {**self._opened, code: account}
        return account

    def account_of(self, authorization: str | None) -> AccountState | None:
        """The account whose current API key made the bearer token of an `Authorization` header."""
        api_key = self.key.api_key_in(authorization)
        for account in self.accounts.values():
            if hmac.compare_digest(api_key, account.credentials.api_key.encode()):
                return account
        return None

    def publish_all(self) -> None:
        """Write the `account.json` of every account."""
        for account in self.accounts.values():
            account.publish()

    def end_waiting(self) -> None:
        """End what is under way: pauses, PIN prompts, callbacks. Nothing waits afterwards."""
        self.interruption.begin()
        super().end_waiting()
        for account in self._opened.values():
            account.end_waiting()

    def close(self) -> None:
        """End the event loop, close the files, and remove a temporary state directory."""
        self.background.stop()
        super().close()
        for account in self._opened.values():
            account.close()
        if self._temporary:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    @property
    def _accounts_directory(self) -> Path:
        return self.state_dir / _ACCOUNTS_DIRECTORY

    def _account_at(self, directory: Path) -> AccountState:
        return AccountState(
            directory,
            service_provider_code=directory.name,
            public_key=self.key.public_key,
            addresses=self.addresses,
            background=self.background,
        )
