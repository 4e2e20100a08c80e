"""A way out through a proxy: it pays, and what fails before the tunnel is open was not sent."""

from __future__ import annotations

import gc
import json
import logging
import re
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
import trustme

from mpesa_integrations import GatewayUnavailable, Kind, MpesaClient, MpesaError, OutcomeUnknown
from mpesa_integrations.core.protocol.http import NotConnected

from .conftest import MakeClient, make_config
from .connect_proxy import Answer, connect_proxy, refuse, tunnel
from .faulty import AUTHORITY, FaultyServer, answer, faulty_server

SUCCESS = json.dumps(
    {"output_ResponseCode": "INS-0", "output_ResponseDesc": "fine", "output_TransactionID": "4XD"}
).encode()
PAYMENT: dict[str, Any] = {"msisdn": "841234567", "amount": 1, "reference": "T"}
PASSWORD = "the-proxys-password"


def _gateway(connection: socket.socket, server: FaultyServer) -> None:
    while True:
        server.read_request(connection)
        connection.sendall(answer(SUCCESS))


def _cut_after_reading(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)


def _close(connection: socket.socket, server: FaultyServer) -> None:
    pass


@pytest.fixture
def ca(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def certificate() -> trustme.LeafCert:
    return AUTHORITY.issue_cert("127.0.0.1")


@pytest.fixture
def by_proxy(client_of: MakeClient, ca: str) -> MakeClient:
    """Makes clients of a gateway's port by a proxy's port."""

    def make(port: int, proxy: int, **changes: object) -> MpesaClient:
        url = f"http://shop:{PASSWORD}@127.0.0.1:{proxy}"
        settings = {"host": "127.0.0.1", "port": port, "verify": ca, "proxy": url, "retries": 1}
        return client_of(make_config(**{**settings, "timeout": (2, 1), **changes}))

    return make


def test_a_payment_goes_through_the_proxy_and_keeps_its_tunnel(
    ca: str, certificate: trustme.LeafCert, caplog: pytest.LogCaptureFixture, by_proxy: MakeClient
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        faulty_server(_gateway, certificate=certificate) as server,
        connect_proxy(tunnel(f"shop:{PASSWORD}")) as proxy,
        by_proxy(server.port, proxy.port) as client,
    ):
        for _ in range(3):
            assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
        assert (len(server.requests), proxy.connections, len(proxy.requests)) == (3, 1, 1)
        assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:%d " % server.port)
        assert b"Bearer" not in proxy.requests[0]
        assert b"Proxy-Authorization" not in b"".join(server.requests)
        assert PASSWORD not in repr(client.config) + caplog.text


REFUSALS: dict[str, tuple[Answer, str, int]] = {
    "another password": (tunnel("shop:another"), "HTTP 407: it wants another user and", 1),
    "not allowed": (refuse(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "HTTP 403: it does not allow it", 1),
    "no way there": (
        refuse(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
        "did not connect to 127.0.0.1 (HTTP 502",
        2,
    ),
    "not now": (refuse(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate"), "HTTP 503", 2),
    "no proxy": (refuse(b"SSH-2.0-OpenSSH\r\n"), "no connection to 127.0.0.1:", 2),
    "half an answer": (refuse(b"HTTP/1.1 200 Conn"), "no connection to 127.0.0.1:", 2),
    "hung up": (_close, "no connection to 127.0.0.1:", 2),
}


@pytest.mark.parametrize("name", list(REFUSALS))
def test_a_tunnel_that_is_not_opened_means_nothing_was_sent(
    name: str, ca: str, certificate: trustme.LeafCert, by_proxy: MakeClient
) -> None:
    behaviour, words, tries = REFUSALS[name]
    with (
        faulty_server(_gateway, certificate=certificate) as server,
        connect_proxy(behaviour) as proxy,
        by_proxy(server.port, proxy.port) as client,
    ):
        with pytest.raises(GatewayUnavailable, match="Nothing was sent") as caught:
            client.c2b(**PAYMENT)
        assert words in str(caught.value)
        assert (server.requests, proxy.connections) == ([], tries)
        _shows_no_secret(caught.value, client)


def test_a_proxy_that_is_not_there_means_nothing_was_sent(ca: str, by_proxy: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = by_proxy(1, port)
    with pytest.raises(GatewayUnavailable, match=f":{port} was refused, which is the pr") as caught:
        client.c2b(**PAYMENT)
    assert isinstance(caught.value.__cause__, NotConnected)
    _shows_no_secret(caught.value, client)


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
@pytest.mark.parametrize("fault", ["untrusted", "no TLS", "hung up"])
def test_tls_that_fails_in_the_tunnel_means_nothing_was_sent(
    fault: str, ca: str, by_proxy: MakeClient
) -> None:
    certificate = None if fault != "untrusted" else trustme.CA().issue_cert("127.0.0.1")
    gateway = _close if fault == "hung up" else _cut_after_reading
    with (
        faulty_server(gateway, certificate=certificate) as server,
        connect_proxy(tunnel()) as proxy,
        by_proxy(server.port, proxy.port) as client,
    ):
        with pytest.raises(GatewayUnavailable, match="Nothing was sent") as caught:
            client.c2b(**PAYMENT)
        assert not any(b"input_Amount" in request for request in server.requests)
        assert proxy.connections == (1 if fault == "untrusted" else 2)
        _shows_no_secret(caught.value, client)
    # Python 3.10 itself forgets to close what it began TLS on in a tunnel, and warns of it later.
    gc.collect()


def test_what_breaks_once_the_request_is_under_way_is_unknown(
    ca: str, certificate: trustme.LeafCert, by_proxy: MakeClient
) -> None:
    with (
        faulty_server(_cut_after_reading, certificate=certificate) as server,
        connect_proxy(tunnel()) as proxy,
        by_proxy(server.port, proxy.port) as client,
    ):
        with pytest.raises(OutcomeUnknown) as caught:
            client.c2b(**PAYMENT)
        assert len(server.requests) == 1
        _shows_no_secret(caught.value, client)


def test_without_tls_the_proxy_is_asked_to_pass_the_request_on(by_proxy: MakeClient) -> None:
    """Only for a gateway of one's own: the proxy may have passed on what it does not answer."""
    with connect_proxy(refuse(answer(SUCCESS))) as proxy:
        client = by_proxy(80, proxy.port, ssl=False, host="gateway.test")
        assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
        assert re.match(rb"POST http://gateway\.test(:80)?/ipg/", proxy.requests[0])
    with connect_proxy(_cut_after_reading) as proxy:
        client = by_proxy(80, proxy.port, ssl=False, host="gateway.test")
        with pytest.raises(OutcomeUnknown):
            client.c2b(**PAYMENT)


def _shows_no_secret(error: BaseException | None, client: MpesaClient) -> None:
    assert isinstance(error, MpesaError)
    assert PASSWORD not in "".join(traceback.format_exception(error))
    found: BaseException | None = error
    while found is not None:
        for frame, _ in traceback.walk_tb(found.__traceback__):
            shown = "" if frame.f_code.co_filename == __file__ else repr(frame.f_locals)
            assert PASSWORD not in shown, frame
            assert client._bearer[2] not in shown, frame
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
