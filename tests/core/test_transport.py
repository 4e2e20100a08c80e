"""Which bytes may have left: each way a connection can break, and what the client makes of it."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from mpesa_integrations import (
    GatewayUnavailable,
    Kind,
    MpesaClient,
    MpesaError,
    OutcomeUnknown,
)
from mpesa_integrations.core.client import transport
from mpesa_integrations.core.protocol.http import NoAnswer, NotConnected

from .conftest import MakeClient, make_config
from .faulty import AUTHORITY, FaultyServer, answer, faulty_server, reset, then

SUCCESS = json.dumps(
    {
        "output_ResponseCode": "INS-0",
        "output_ResponseDesc": "fine",
        "output_TransactionID": "4XDF12345",
        "output_ConversationID": "AG_1",
    }
).encode()
PAYMENT: dict[str, Any] = {"msisdn": "841234567", "amount": 1, "reference": "T"}


def _close_at_once(connection: socket.socket, server: FaultyServer) -> None:
    pass


def _reset_at_once(connection: socket.socket, server: FaultyServer) -> None:
    reset(connection)


def _close_after_reading(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)


def _reset_after_reading(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    reset(connection)


def _never_answer(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    server.stopping.wait(10)


def _drip(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.stopping.wait(0.02):
        connection.sendall(b" ")


def _endless_chunks(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not server.stopping.is_set():
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


AFTER_SENDING = {
    "closed at once": _close_at_once,
    "closed after the request": _close_after_reading,
    "reset after the request": _reset_after_reading,
    "no answer": _never_answer,
    "half a status line": then(b"HTTP/1.1 20"),
    "not HTTP": then(b"SSH-2.0-OpenSSH\r\n"),
    "half the headers": then(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "less than its length": then(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + SUCCESS),
    "a broken chunk": then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "a body that drips": _drip,
    "an endless body": _endless_chunks,
    "a body over 1 MiB": then(answer(SUCCESS + b" " * 1_100_000)),
    "a redirect": then(answer(b"", status="307 Temporary Redirect", headers="Location: /x\r\n")),
    "endless headers": then(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000),
    "a bad gzip": then(answer(b"junk", headers="Content-Encoding: gzip\r\n")),
}


@pytest.mark.parametrize("name", list(AFTER_SENDING))
def test_once_a_byte_may_have_left_the_outcome_is_unknown_and_nothing_is_sent_again(
    name: str, connect: MakeClient
) -> None:
    with (
        faulty_server(AFTER_SENDING[name]) as server,
        connect(server.port, timeout=(2, 0.4)) as client,
    ):
        with pytest.raises(OutcomeUnknown) as caught:
            client.c2b(**PAYMENT)
        assert caught.value.third_party_reference
        assert "258841234567" not in str(caught.value)
        assert len(server.requests) <= 1
        assert server.connections == 1


@pytest.mark.parametrize("name", list(AFTER_SENDING))
def test_a_question_that_is_not_answered_may_be_asked_again(name: str, connect: MakeClient) -> None:
    with (
        faulty_server(AFTER_SENDING[name]) as server,
        connect(server.port, timeout=(2, 0.4)) as client,
    ):
        with pytest.raises(GatewayUnavailable):
            client.query_customer_name(msisdn="841234567")
        assert server.connections == 1


def test_a_connection_reset_at_once_is_never_taken_for_an_answer(connect: MakeClient) -> None:
    """The reset can overtake the end of connecting, so which of the two it is depends on luck."""
    with faulty_server(_reset_at_once) as server, connect(server.port) as client:
        with pytest.raises((OutcomeUnknown, GatewayUnavailable)):
            client.c2b(**PAYMENT)
        assert server.requests == []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_is_surely_not_accepted_and_tried_again(
    caplog: pytest.LogCaptureFixture, connect: MakeClient
) -> None:
    with connect(_free_port(), retries=2) as client, pytest.raises(GatewayUnavailable) as caught:
        client.c2b(**PAYMENT)
    assert "refused" in str(caught.value)
    assert "Nothing was sent" in str(caught.value)
    assert isinstance(caught.value.__cause__, NotConnected)
    assert caplog.text.count("call.not_connected") == 3


def test_a_name_that_does_not_resolve_is_surely_not_accepted(client_of: MakeClient) -> None:
    for host in ("no-such-host.invalid", "x" * 70 + ".invalid"):
        client = client_of(make_config(host=host, retries=0))
        with pytest.raises(GatewayUnavailable, match="Nothing was sent"):
            client.c2b(**PAYMENT)


def test_a_connection_that_does_not_come_about_in_time_is_surely_not_accepted(
    connect: MakeClient,
) -> None:
    # A listener whose queue is full answers no more SYNs.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with (
            connect(port, timeout=(0.3, 5), retries=0) as client,
            pytest.raises(GatewayUnavailable, match="within the time allowed"),
        ):
            client.c2b(**PAYMENT)
        for filler in fillers:
            filler.close()


def _vanished(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "vanishing.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return {"verify": str(path)}


def _no_certificates(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "broken.pem"
    path.write_text("no certificate at all")
    return {"verify": str(path)}


BEFORE_SENDING: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "a CA file that vanished": (_vanished, "verify names is not there"),
    "a CA file with no certificate": (_no_certificates, "Nothing was sent"),
    "an IPv6 address with a zone": (lambda _: {"host": "fe80::1%lo"}, "Nothing was sent"),
    "an IPv6 address of no interface": (lambda _: {"host": "fe80::1%nosuch0"}, "Nothing was sent"),
    "an empty label": (lambda _: {"host": "no..such.invalid"}, "Nothing was sent"),
    "a label too long": (lambda _: {"host": f"{'x' * 64}.invalid"}, "Nothing was sent"),
    "a name that does not resolve": (lambda _: {"host": "no-such-host.invalid"}, "no-such-host"),
    "port 1": (lambda _: {"host": "127.0.0.1", "port": 1}, "127.0.0.1:1 was refused"),
    "a proxy that is no name": (lambda _: {"proxy": "http://..:1"}, "Nothing was sent"),
    "a proxy with a zone": (lambda _: {"proxy": "http://[fe80::1%25nosuch0]:1"}, "Nothing was"),
}


@pytest.mark.parametrize("name", list(BEFORE_SENDING))
def test_what_fails_before_a_connection_is_there_was_surely_not_sent(
    name: str, tmp_path: Path, client_of: MakeClient
) -> None:
    make, words = BEFORE_SENDING[name]
    with faulty_server(then(answer(SUCCESS))) as server:
        settings = {"host": "127.0.0.1", "port": server.port, "retries": 0, "timeout": (1, 1)}
        client = client_of(make_config(**{**settings, **make(tmp_path)}))
        (tmp_path / "vanishing.pem").unlink(missing_ok=True)
        with pytest.raises(GatewayUnavailable, match="Nothing was sent") as caught:
            client.c2b(**PAYMENT)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert isinstance(caught.value.__cause__, NotConnected)
        assert words in str(caught.value)
        assert server.requests == []


class _OfNoKnownKindError(Exception):
    pass


# What is called before a byte can leave, and what is called afterwards; by whether it blocks.
FAILING = {
    True: (
        ("requests.adapters.HTTPAdapter.get_connection_with_tls_context",),
        ("requests.adapters.HTTPAdapter.build_response",),
    ),
    False: (
        ("aiohttp.client_reqrep.ClientRequest.__init__",),
        ("aiohttp.client_reqrep.ClientResponse.start",),
    ),
}


def test_an_error_of_no_known_kind_counts_by_whether_a_byte_may_have_left(
    monkeypatch: pytest.MonkeyPatch, connect: MakeClient
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise _OfNoKnownKindError

    with faulty_server(then(*[answer(SUCCESS)] * 3)) as server, connect(server.port) as client:
        client.c2b(**PAYMENT)  # a connection lies in the pool: what was sent then counts no more
        before, after = FAILING[type(client) is MpesaClient]
        with monkeypatch.context() as patch:
            patch.setattr(*before, fail)
            with pytest.raises(GatewayUnavailable, match="could not be begun"):
                client.c2b(**PAYMENT)
        with monkeypatch.context() as patch:
            patch.setattr(*after, fail)
            with pytest.raises(OutcomeUnknown):
                client.c2b(**PAYMENT)
        assert len(server.requests) <= 2  # what was unknown may not have left, either


def test_a_request_names_the_program_that_sends_it(connect: MakeClient) -> None:
    with faulty_server(then(*[answer(SUCCESS)] * 2)) as server:
        for changes, sent in (({}, b"mpesa-integrations/"), ({"user_agent": "shop/2"}, b"shop/2")):
            with connect(server.port, **changes) as client:
                client.c2b(**PAYMENT)
            assert b"User-Agent: " + sent in server.requests[-1]


def test_an_operation_can_be_called_elsewhere(connect: MakeClient) -> None:
    with (
        faulty_server(then(answer(SUCCESS))) as server,
        connect(1, retries=0, endpoints={"c2b": f":{server.port}"}) as client,
    ):
        assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
        with pytest.raises(GatewayUnavailable, match=r"127.0.0.1:1 was refused"):
            client.b2c(**PAYMENT)


def _authority_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


def _expired() -> trustme.LeafCert:
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    return AUTHORITY.issue_cert("127.0.0.1", not_before=now - 2 * day, not_after=now - day)


@pytest.mark.parametrize(
    "certificate",
    [
        trustme.CA().issue_cert("127.0.0.1"),
        AUTHORITY.issue_cert("another.test"),
        _expired(),
    ],
    ids=["untrusted", "another name", "expired"],
)
def test_a_certificate_that_is_not_good_means_nothing_was_sent_and_no_second_try(
    certificate: trustme.LeafCert, tmp_path: Path, connect: MakeClient
) -> None:
    with faulty_server(then(answer(SUCCESS)), certificate=certificate) as server:
        verify = _authority_file(tmp_path)
        with (
            connect(server.port, ssl=True, verify=verify) as client,
            pytest.raises(GatewayUnavailable, match="certificate is not trusted") as caught,
        ):
            client.c2b(**PAYMENT)
        assert "verify" in str(caught.value)
        assert server.requests == []
        assert server.connections == 1


def test_tls_spoken_to_a_plain_port_means_nothing_was_sent(connect: MakeClient) -> None:
    with faulty_server(then(answer(SUCCESS))) as server:
        with connect(server.port, ssl=True, retries=0) as client, pytest.raises(GatewayUnavailable):
            client.c2b(**PAYMENT)
        assert all(b"input_Amount" not in request for request in server.requests)


def test_a_good_certificate_is_accepted_and_cut_after_the_request_is_unknown(
    tmp_path: Path, connect: MakeClient
) -> None:
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    verify = _authority_file(tmp_path)
    with (
        faulty_server(then(answer(SUCCESS)), certificate=certificate) as server,
        connect(server.port, ssl=True, verify=verify) as client,
    ):
        assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
        assert len(server.requests) == 1
    with (
        faulty_server(_close_after_reading, certificate=certificate) as server,
        connect(server.port, ssl=True, verify=verify) as client,
        pytest.raises(OutcomeUnknown),
    ):
        client.c2b(**PAYMENT)


def test_the_environment_and_netrc_are_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connect: MakeClient
) -> None:
    dead = f"http://127.0.0.1:{_free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, dead)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    with faulty_server(then(answer(SUCCESS))) as server, connect(server.port) as client:
        assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
        assert b"Authorization: Bearer " in server.requests[0]
        assert b"Basic" not in server.requests[0]


def test_calls_share_a_connection_that_is_kept_alive(connect: MakeClient) -> None:
    with faulty_server(then(*[answer(SUCCESS)] * 5)) as server, connect(server.port) as client:
        for _ in range(5):
            client.c2b(**PAYMENT)
        assert (server.connections, len(server.requests)) == (1, 5)


def test_a_connection_that_was_closed_while_idle_is_replaced_before_anything_is_sent(
    connect: MakeClient,
) -> None:
    closed = threading.Event()

    def one_each(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(answer(SUCCESS))
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with faulty_server(one_each) as server, connect(server.port) as client:
        for _ in range(3):
            closed.clear()
            assert client.c2b(**PAYMENT).kind is Kind.SUCCESS
            assert closed.wait(5)
        assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("operation", ["query_customer_name", "reverse"])
def test_what_breaks_on_a_kept_connection_is_not_sent_again(
    connect: MakeClient, operation: str
) -> None:
    """Some HTTP libraries would: a question is a GET, and a reversal a PUT."""

    def one_answer(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(answer(SUCCESS))
        server.read_request(connection)

    calls = {
        "query_customer_name": ({"msisdn": "841234567"}, GatewayUnavailable),
        "reverse": ({"transaction_id": "4XDF12345"}, OutcomeUnknown),
    }
    arguments, error = calls[operation]
    with faulty_server(one_answer) as server, connect(server.port) as client:
        client.c2b(**PAYMENT)
        with pytest.raises(error):
            getattr(client, operation)(**arguments)
        assert (server.connections, len(server.requests)) == (1, 2)


def test_a_connection_that_lay_idle_too_long_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, connect: MakeClient
) -> None:
    with faulty_server(then(*[answer(SUCCESS)] * 2)) as server, connect(server.port) as client:
        monkeypatch.setattr(transport, "IDLE_LIMIT", 0.0)
        client.c2b(**PAYMENT)
        client.c2b(**PAYMENT)
        assert server.connections == 2


def test_no_redirect_is_followed_and_no_cookie_kept(connect: MakeClient) -> None:
    with faulty_server(then(answer(SUCCESS))) as other:
        moved = answer(
            b"",
            status="302 Found",
            headers=f"Location: http://127.0.0.1:{other.port}/\r\nSet-Cookie: a=b\r\n",
        )
        with faulty_server(then(moved, answer(SUCCESS))) as server:
            with connect(server.port) as client:
                with pytest.raises(OutcomeUnknown):
                    client.c2b(**PAYMENT)
                client.c2b(**PAYMENT)
            assert b"Cookie" not in server.requests[1]
        assert other.connections == 0


class _Interrupts:
    """A transport that is interrupted, as by Ctrl-C or a worker's time limit."""

    def send(self, request: object) -> Any:
        raise KeyboardInterrupt

    def close(self) -> None:
        pass


def test_an_interrupt_is_not_swallowed(client_of: MakeClient) -> None:
    client = client_of(make_config(), transport=_Interrupts())
    with pytest.raises(KeyboardInterrupt):
        client.c2b(**PAYMENT)


def test_another_transport_can_stand_in(client_of: MakeClient) -> None:
    class Silent:
        def send(self, request: object) -> Any:
            raise NoAnswer("nothing came")

        def close(self) -> None:
            pass

    client = client_of(make_config(), transport=Silent())
    with pytest.raises(OutcomeUnknown, match="nothing came"):
        client.c2b(**PAYMENT)
    with pytest.raises(MpesaError):
        client.query_transaction_status(query_reference="X")


def test_a_forked_process_does_not_share_its_parents_connection() -> None:
    with (
        faulty_server(then(*[answer(SUCCESS)] * 2)) as server,
        MpesaClient(make_config(host="127.0.0.1", port=server.port, ssl=False)) as client,
    ):
        client.c2b(**PAYMENT)
        child = os.fork()
        if child == 0:  # as a worker of gunicorn's, its app loaded before
            client.c2b(**PAYMENT)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert server.connections == 2
        client.c2b(**PAYMENT)
        assert server.connections == 2


def test_an_answer_after_a_mere_wait_is_not_taken_for_the_next_requests(
    connect: MakeClient,
) -> None:
    asked_again = threading.Event()

    def hint_first(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        asked_again.wait(5)
        connection.sendall(answer(SUCCESS))

    with faulty_server(hint_first) as server, connect(server.port, timeout=(1, 0.4)) as client:
        with pytest.raises(OutcomeUnknown):
            client.c2b(**PAYMENT)
        server.behaviour = then(answer(SUCCESS.replace(b"4XDF12345", b"THESECOND")))
        assert client.c2b(**PAYMENT).transaction_id == "THESECOND"
        asked_again.set()
        assert server.connections == 2


def _break_tls(connection: socket.socket, server: FaultyServer) -> None:
    server.read_request(connection)
    with socket.socket(fileno=os.dup(connection.fileno())) as below:
        below.sendall(b"no TLS record at all")


def test_no_traceback_shows_a_phone_number(tmp_path: Path, connect: MakeClient) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = AUTHORITY.issue_cert("127.0.0.1")
    with (
        faulty_server(_break_tls, certificate=certificate) as server,
        connect(server.port, ssl=True, verify=str(tmp_path / "ca.pem")) as client,
    ):
        with pytest.raises(GatewayUnavailable) as caught:
            client.query_customer_name(msisdn="841234567")
        assert "258841234567" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("listening", [True, False])
def test_no_frame_of_an_error_holds_the_bearer(listening: bool, connect: MakeClient) -> None:
    """A report of an error that shows local variables, as Sentry's, would give it away."""
    with faulty_server(_close_after_reading) as server:
        if not listening:
            server.close()
        with connect(server.port, retries=0) as client:
            with pytest.raises(MpesaError) as caught:
                client.c2b(**PAYMENT)
            bearer = client._bearer[2]
    error: BaseException | None = caught.value
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            shown = "" if frame.f_code.co_filename == __file__ else repr(frame.f_locals)
            assert bearer not in shown, frame
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_what_is_sent_while_another_request_waits_does_not_make_that_one_look_unsent() -> None:
    def interrupt(connection: socket.socket, server: FaultyServer) -> None:
        server.read_request(connection)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        sent.wait(10)
        reset(connection)

    def send_another(*_: object) -> None:
        with pytest.raises(GatewayUnavailable):
            other.c2b(**PAYMENT)
        sent.set()

    sent = threading.Event()
    before = signal.signal(signal.SIGUSR1, send_another)
    try:
        with faulty_server(interrupt) as server:
            client = MpesaClient(make_config(host="127.0.0.1", port=server.port, ssl=False))
            # The same client, so the same transport: what is sent meanwhile never connects.
            other = MpesaClient(
                make_config(host="127.0.0.1", port=_free_port(), ssl=False, retries=0),
                transport=client._transport,
            )
            with pytest.raises(OutcomeUnknown):
                client.c2b(**PAYMENT)
    finally:
        signal.signal(signal.SIGUSR1, before)
