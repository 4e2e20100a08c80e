"""Addresses as servers and proxies write them, and who is let in by them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.payments.endpoint import (
    CallbackRequest,
    answer_callback,
    remote_address,
)
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.account import AccountSettings
from mpesa_integrations.core.settings.networks import read_address

from .conftest import make_config

GATEWAY = "196.201.214.200"


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (GATEWAY, GATEWAY),
        (f" {GATEWAY} ", GATEWAY),
        (f"{GATEWAY}:5678", GATEWAY),
        (f"::ffff:{GATEWAY}", GATEWAY),
        (f"::FFFF:{GATEWAY}", GATEWAY),
        (f"[::ffff:{GATEWAY}]:443", GATEWAY),
        ("::ffff:c4c9:d6c8", GATEWAY),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:80", "fe80::1"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("1.2.3", None),
        ("1.2.3.4:", None),
        ("1.2.3.4:x", None),
        ("3299464904", None),
        ("1.2.3.4, 5.6.7.8", None),
        ("[1.2.3.4", None),
    ],
)
def test_what_is_plainly_an_address_is_read(written: str, plain: str | None) -> None:
    assert read_address(written) == plain


@pytest.mark.slow
@given(st.text(max_size=50) | st.ip_addresses().map(str))
def test_reading_is_idempotent_and_raises_nothing(text: str) -> None:
    plain = read_address(text)
    assert plain is None or read_address(plain) == plain


def _settings(**options: Any) -> AccountSettings:
    config = make_config()
    for name in ("api_key", "public_key", "service_provider_code"):
        options[name.upper()] = getattr(config, name)
    return AccountSettings.from_mapping(options)


def _answer(peer: str, forwarded: str = "", **settings: Any) -> int:
    """The status for a caller with the right token, whose body is no callback's."""
    request = CallbackRequest(
        token="right",
        content_type=settings.pop("content_type", "application/json"),
        content_length=settings.pop("content_length", None),
        remote_address=peer,
        forwarded_for=forwarded,
        read=lambda limit: b"",
    )
    networks = settings.pop("networks", ["196.201.214.0/24", "2001:db8::/32"])
    payments = SimpleNamespace(
        settings=_settings(CALLBACK_NETWORKS=networks, **settings),
        receive=lambda body, **origin: (200, {}),
    )

    class Found(dict[str, Any]):
        def accepting(self, token: str) -> list[str]:
            return ["default"]

    accounts = cast("Accounts[Any, Any]", Found(default=payments))
    return answer_callback(accounts, request).status


TRUSTED = {"TRUSTED_PROXIES": ["10.0.0.0/8", "fd00::/8"]}
UNIX = {"TRUSTED_PROXIES": ["unix", "10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "settings", "status"),
    [
        (GATEWAY, "", {}, 200),
        (f"::ffff:{GATEWAY}", "", {}, 200),
        ("2001:db8::9", "", {}, 200),
        (f"::ffff:{GATEWAY}", "", {"networks": ["::ffff:196.201.214.0/120"]}, 200),
        (GATEWAY, "", {"networks": [f"::ffff:{GATEWAY}"]}, 200),
        (GATEWAY, "", {"networks": [f" {GATEWAY} "]}, 200),
        ("192.0.2.1", GATEWAY, TRUSTED, 404),
        ("10.0.0.1", GATEWAY, TRUSTED, 200),
        ("::ffff:10.0.0.1", f"{GATEWAY}:5678", TRUSTED, 200),
        ("fd00::1", f"::ffff:{GATEWAY}", TRUSTED, 200),
        ("10.0.0.1", f"{GATEWAY}, ::ffff:10.0.0.7, 10.0.0.8:443", TRUSTED, 200),
        ("10.0.0.1", f"{GATEWAY}, 192.0.2.1", TRUSTED, 404),
        ("10.0.0.1", f"{GATEWAY}, unknown", TRUSTED, 404),
        ("10.0.0.1", "[2001:db8::1]:443", TRUSTED, 200),
        ("10.0.0.1", "", TRUSTED, 404),
        ("", GATEWAY, TRUSTED, 404),
        ("", GATEWAY, {}, 404),
        ("", GATEWAY, UNIX, 200),
        ("unix:", GATEWAY, UNIX, 200),
        ("", f"{GATEWAY}, 10.0.0.2", UNIX, 200),
        ("", f"{GATEWAY}, 192.0.2.1", UNIX, 404),
        ("", "", UNIX, 404),
        ("192.0.2.1", GATEWAY, UNIX, 404),
        ("nonsense", GATEWAY, UNIX, 404),
        ("", GATEWAY, {"TRUSTED_PROXIES": "unix"}, 200),
        ("192.0.2.1", "", {"networks": []}, 200),
        ("", "", {"networks": []}, 200),
    ],
)
def test_who_is_let_in_behind_usual_proxies(
    peer: str, forwarded: str, settings: dict[str, Any], status: int
) -> None:
    assert _answer(peer, forwarded, **settings) == status


BEYOND = "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # Nobody's word counts but a trusted proxy's: not the peer's own, however long.
        (BEYOND, "", BEYOND),
        (BEYOND, GATEWAY, BEYOND),
        (BEYOND, f"{GATEWAY}, 10.0.0.1", BEYOND),
        # As far as trusted proxies wrote it, and not a hop further.
        ("10.0.0.1", GATEWAY, GATEWAY),
        ("10.0.0.1", f"{GATEWAY}, 10.0.0.2", GATEWAY),
        ("10.0.0.1", f"{GATEWAY}, 10.0.0.3, 10.0.0.2", GATEWAY),
        ("10.0.0.1", f"{BEYOND}, {GATEWAY}, 10.0.0.2", GATEWAY),
        ("10.0.0.1", f"{GATEWAY}, {BEYOND}, 10.0.0.2", BEYOND),
        ("10.0.0.1", f"{GATEWAY}, {BEYOND}", BEYOND),
        # An intruder who names a trusted proxy is the intruder still.
        ("10.0.0.1", f"{GATEWAY}, 10.0.0.9, {BEYOND}", BEYOND),
        # A proxy that names nobody called by itself.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", " , ", "10.0.0.1"),
        ("10.0.0.1", f"{GATEWAY}, , 10.0.0.2", GATEWAY),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # What a proxy could not tell is not known.
        ("10.0.0.1", f"{GATEWAY}, unknown", None),
        ("10.0.0.1", f"{GATEWAY}, unknown, 10.0.0.2", None),
        ("unix:", f"{GATEWAY}, 10.0.0.2", GATEWAY),
        ("unix:", f"{GATEWAY}, {BEYOND}", BEYOND),
        ("unix:", "", None),
    ],
)
def test_the_address_is_the_last_one_that_a_trusted_proxy_saw(
    peer: str, forwarded: str, address: str | None
) -> None:
    request = CallbackRequest(
        token="right", content_type="application/json", content_length=None, remote_address=peer,
        forwarded_for=forwarded, read=lambda limit: b"",
    )  # fmt: skip
    proxies = _settings(TRUSTED_PROXIES=["unix", "10.0.0.0/8"]).trusted_proxies
    assert remote_address(request, proxies) == address


@pytest.mark.parametrize(
    ("peer", "changes", "status", "words"),
    [
        ("192.0.2.1", {}, 404, "address=192.0.2.1 problem=the address is not in CALLBACK_NETWORKS"),
        ("", {}, 404, "address=unknown"),
        (GATEWAY, {"content_type": "text/plain"}, 415, "the content type is not"),
        (GATEWAY, {"content_length": "99999"}, 413, "more than 65536 bytes"),
    ],
)
def test_each_refusal_of_a_right_token_leaves_a_line(
    caplog: pytest.LogCaptureFixture, peer: str, changes: dict[str, Any], status: int, words: str
) -> None:
    assert _answer(peer, **changes) == status
    assert "callback.refused account=default" in caplog.text
    assert words in caplog.text
    assert "right" not in caplog.text


@pytest.mark.parametrize("wrong", [["ten"], 1, "10.0.0.0/8", ["Unix"], [None]])
def test_wrong_proxies_are_told(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies must be a list"):
        _answer(GATEWAY, TRUSTED_PROXIES=wrong)
