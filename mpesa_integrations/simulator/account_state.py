"""One account of a gateway: keys, shortcode, ledger, journal, scenarios, phones, callbacks.

Two accounts share none of these, so nothing that one does can be seen by the other, or stand in its
way: not a reference, not a balance, not a customer who is asked. What they share is in `state`.
"""

from __future__ import annotations

from pathlib import Path

from mpesa_integrations.core.settings.client import MpesaConfig

from .account import Account, Credentials
from .addresses import Addresses
from .background import Background
from .call_log import CALLS_FILE, CallLog
from .callbacks import Callbacks
from .journal import callback_entry
from .ledger import LEDGER_FILE, Ledger
from .phones import Phones
from .scenario_queue import Scenarios


class AccountState:
    """The state of one account.

    Args:
        directory: where what it keeps over restarts is.
        service_provider_code: its shortcode.
        public_key: the gateway's.
        addresses: the gateway's.
        background: the gateway's event loop.

    Attributes:
        ledger: wallets and transactions.
        scenarios: what is to happen to coming requests.
        callbacks: asynchronous mode's deliveries.
        phones: the customers' PIN prompts, where `auto_approve` is off.
        calls: the journal of calls and callbacks.
        credentials: the account's keys.
    """

    def __init__(
        self,
        directory: Path,
        *,
        service_provider_code: str,
        public_key: str,
        addresses: Addresses,
        background: Background,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self.service_provider_code = service_provider_code
        self.addresses = addresses
        self.credentials: Credentials = Credentials(directory, public_key)
        self.ledger: Ledger = Ledger(directory / LEDGER_FILE)
        self.ledger.open_business(service_provider_code)
        self.scenarios: Scenarios = Scenarios()
        self.phones: Phones = Phones()
        self.calls: CallLog = CallLog(directory / CALLS_FILE, directory / LEDGER_FILE)
        self.callbacks: Callbacks = Callbacks(
            lambda delivery, payment: self.calls.record(callback_entry(delivery, payment)),
            background,
        )

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        return self.addresses.control_url

    @property
    def base_url(self) -> str:
        """Where the operations are; without a port where each listens on its documented one."""
        return self.addresses.base_url

    @property
    def account(self) -> Account:
        """What a caller must know, as it stands now."""
        return Account(
            api_key=self.credentials.api_key,
            public_key=self.credentials.public_key,
            service_provider_code=self.service_provider_code,
            initiator_identifier=self.credentials.initiator_identifier,
            security_credential=self.credentials.security_credential,
            ca_file=self.addresses.ca_file,
            base_url=self.base_url,
            control_url=self.control_url,
        )

    @property
    def config(self) -> MpesaConfig:
        """Settings for a client of this account."""
        return MpesaConfig(
            api_key=self.credentials.api_key,
            public_key=self.credentials.public_key,
            service_provider_code=self.service_provider_code,
            environment="local",
            host=self.addresses.reachable_host,
            port=None if self.addresses.documented_ports else self.addresses.port,
            verify=self.addresses.ca_file,
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
        self.publish()
        return api_key

    def publish(self) -> None:
        """Write `account.json`, for programs that are to use this account."""
        self.account.write(self._directory)

    def reset(self) -> None:
        """Empty ledger and journal, drop scenarios, deliveries and prompts, return to sync mode."""
        self.phones.reset()
        self.callbacks.reset()
        self.scenarios.clear()
        self.ledger.clear()
        self.ledger.open_business(self.service_provider_code)
        self.calls.clear()

    def end_waiting(self) -> None:
        """End what is under way: PIN prompts, callbacks. Nothing waits afterwards."""
        self.callbacks.begin_to_stop()  # before prompts end, of which results would come
        self.phones.stop()
        self.callbacks.stop()

    def close(self) -> None:
        """Close the files."""
        self.ledger.close()
        self.calls.close()
