"""Bodies without a length, as WSGI servers hand them over: each has a way of its own."""

from __future__ import annotations

import sys
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest

from mpesa_integrations.core.payments.endpoint import wsgi_reader


class _Dripping(BytesIO):
    """Gives less than it is asked for, as a server may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size or 0))


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        ({"CONTENT_LENGTH": "11"}, b"otherwise"),
        ({"CONTENT_LENGTH": "11", "wsgi.input_terminated": True}, b"otherwise"),
        ({}, b"otherwise"),
        ({"wsgi.input_terminated": False}, b"otherwise"),
        ({"wsgi.input_terminated": True}, b"hello world"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, b"hello world"),
        ({"HTTP_TRANSFER_ENCODING": "gzip, Chunked", "CONTENT_LENGTH": ""}, b"hello world"),
    ],
)
def test_a_body_is_read_to_its_end_where_the_server_ends_it(
    environ: dict[str, Any], read: bytes
) -> None:
    environ = {**environ, "wsgi.input": _Dripping(b"hello world")}
    assert wsgi_reader(environ, lambda limit: b"otherwise")(100) == read
    environ["wsgi.input"].seek(0)
    assert wsgi_reader(environ, lambda limit: read[:limit])(5) == read[:5]


def test_uwsgi_reads_chunks_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [b"hello", b" world", b"", b"never"]
    uwsgi = SimpleNamespace(chunked_read=lambda: chunks.pop(0))
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO()}
    assert wsgi_reader(environ, lambda limit: b"otherwise")(100) == b"hello world"
