"""The running local gateway: its parts put together, its listeners started and stopped."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import socket
import tempfile
import threading
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Gateway_10
from cheroot.wsgi import Server as WSGIServer
from flask import Flask

from mpesa_integrations.core.settings.client import MpesaConfig

from .account import SERVICE_PROVIDER_CODE, Account, Credentials
from .callbacks import Callbacks, Delivery
from .calls import CALLS_FILE, Call, CallLog, outcome_of, shorten_url, shown_body, shown_parameters
from .control import control_blueprint
from .gateway import CUT, DOCUMENTED_PORTS, gateway_blueprint
from .ledger import LEDGER_FILE, Ledger
from .phones import Phones
from .portal import ReadyMade, Store, install_portal
from .scenarios import Scenarios
from .tls import prepare_certificates

logger = logging.getLogger("mpesa_integrations.simulator")

_THREADS = 48
_KEEP_ALIVE_CONNECTIONS = 512
_KEEP_ALIVE_SECONDS = 60
_MAX_REQUEST_BODY = 1024 * 1024
_MAX_REQUEST_HEADER = 64 * 1024
_CONNECTION = "mpesa.connection"


class PortTaken(OSError):  # noqa: N818 - an OSError already
    """The address is in use, or may not be listened on."""


class Simulator:
    """A local M-Pesa gateway over HTTPS, with one account.

    Args:
        state_dir: where keys, certificates and ledger are kept over restarts; None means a
            temporary directory that goes with the gateway.
        host: address to listen on.
        port: port to listen on; 0 means a free one. With `documented_ports`, the port of the
            control interface.
        documented_ports: listen on all of the gateway's documented ports as well, each serving its
            own operation, so that clients with fixed ports need no change.
        hostnames: further names for the certificate, for clients with a fixed host name.

    Attributes:
        ledger: the books.
        scenarios: what is to happen to coming requests.
        callbacks: asynchronous mode's deliveries.
        phones: the customers' PIN prompts, where `auto_approve` is off.
        calls: the journal of calls and callbacks.
        credentials: the account's keys.
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
        self._hostnames = tuple(hostnames)
        self._servers: list[WSGIServer] = []
        self._threads: list[threading.Thread] = []
        self.stopping = threading.Event()
        self.credentials = Credentials(self.state_dir)
        self.ledger = Ledger(self.state_dir / LEDGER_FILE)
        self.ledger.open_business(self.service_provider_code)
        self.scenarios = Scenarios()
        self.phones = Phones()
        self._portal = Store(self.state_dir)
        self.calls = CallLog(self.state_dir / CALLS_FILE)
        self.callbacks = Callbacks(self.ledger.settle_outbox, self._record_delivery)
        self._ca_file, self._certificate = prepare_certificates(
            self.state_dir, [name for name in (host, *self._hostnames) if not _is_any(name)]
        )

    def start(self) -> Simulator:
        """Listen, and write `account.json` once connections are accepted.

        Raises:
            PortTaken: a port is in use; names it.
        """
        application = self.application
        ports = [self._port, *(DOCUMENTED_PORTS if self.documented_ports else ())]
        try:
            for port in ports:
                self._listen(application, port)
        except BaseException:
            self.stop()
            raise
        self._port = self._servers[0].bind_addr[1]
        self.account.write(self.state_dir)
        return self

    def stop(self) -> None:
        """Stop listening, end what is under way, and remove a temporary state directory."""
        self.stopping.set()
        self.phones.stop()
        self.callbacks.stop()
        # Together: each takes up to half a second to notice.
        stoppers = [threading.Thread(target=server.stop) for server in self._servers]
        for thread in stoppers:
            thread.start()
        for thread in [*stoppers, *self._threads]:
            thread.join()
        self._servers.clear()
        self._threads.clear()
        self.ledger.close()
        self.calls.close()
        self._portal.close()
        if self._temporary:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        return f"https://{_in_url(self._reachable_host)}:{self._port}"

    @property
    def portal_url(self) -> str:
        """Where the developer portal is."""
        return f"{self.control_url}/portal/"

    @property
    def portal_account(self) -> ReadyMade:
        """The e-mail and password of the portal's ready-made account."""
        return self._portal.ready_made

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

    @property
    def _reachable_host(self) -> str:
        return "127.0.0.1" if _is_any(self.host) else self.host

    @cached_property
    def application(self) -> Flask:
        """The gateway and its portal as a WSGI application, made once."""
        app = Flask("mpesa_integrations.simulator", static_folder=None)
        app.config["MAX_CONTENT_LENGTH"] = _MAX_REQUEST_BODY
        app.register_blueprint(gateway_blueprint(self))
        app.register_blueprint(control_blueprint(self))
        install_portal(app, self, self._portal)
        return app

    def _record_delivery(self, delivery: Delivery) -> None:
        sent = f"POST {shorten_url(delivery.url)}\n\n{shown_parameters(delivery.body)}"
        self.calls.record(
            Call(
                at=delivery.at,
                kind="callback",
                operation="callback",
                code=delivery.code,
                outcome=outcome_of(delivery.code),
                http_status=delivery.http_status,
                seconds=delivery.seconds,
                third_party_reference=delivery.third_party_reference,
                problem=delivery.problem or "",
                sent=sent,
                answered=shown_body(delivery.answer),
            )
        )

    def _listen(self, application: Flask, port: int) -> None:
        server = _Server(
            (self.host, port),
            _Cuttable(application),
            numthreads=_THREADS
            if port == self._port or not self.documented_ports
            else _THREADS // 4,
            request_queue_size=256,
            timeout=_KEEP_ALIVE_SECONDS,
            shutdown_timeout=1,
            server_name=self._reachable_host,
        )
        server.gateway = _Gateway
        server.keep_alive_conn_limit = _KEEP_ALIVE_CONNECTIONS
        server.max_request_header_size = _MAX_REQUEST_HEADER
        server.ssl_adapter = BuiltinSSLAdapter(str(self._certificate), str(self._certificate))
        try:
            server.prepare()
        except OSError as error:
            raise PortTaken(
                error.errno or errno.EADDRINUSE,
                f"Cannot listen on {self.host}:{port}: it is in use or not allowed; "
                "choose another with port (0 takes a free one)",
            ) from error
        thread = threading.Thread(target=server.serve, name=f"mpesa-gateway-{port}", daemon=True)
        thread.start()
        self._servers.append(server)
        self._threads.append(thread)


class _Connection(HTTPConnection):
    """Drops what a peer that has gone can no longer be sent, rather than at garbage collection."""

    def close(self) -> None:
        try:
            super().close()
        finally:
            with contextlib.suppress(OSError, ValueError):
                self.wfile.close()


class _Server(WSGIServer):
    """Logs through logging rather than to the terminal, and leaves no socket open."""

    ConnectionClass = _Connection

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        logger.log(level, "server.event %s", msg, exc_info=traceback)


class _Gateway(Gateway_10):
    """Lets the application reach its connection, so that a scenario can cut it."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override] # cheroot's stub says None
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[_CONNECTION] = self.req.conn
        return environ


class _Cuttable:
    """Cuts the connection in place of an answer, where the application has asked for that."""

    def __init__(self, application: Flask) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        if environ.get(CUT):
            with contextlib.suppress(OSError):
                environ[_CONNECTION].socket.shutdown(socket.SHUT_RDWR)
            # The server takes this for the peer's doing, and closes without a word.
            raise ConnectionResetError(errno.ECONNRESET, "cut by a scenario")
        return answer


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - asked about, not listened on


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
