"""Settings: what is accepted, and what a wrong one is told."""

from __future__ import annotations

import base64
import contextlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from mpesa_integrations import ConfigurationError, MpesaConfig, bearer_token

from .conftest import API_KEY, CALLBACK_TOKEN, PUBLIC_KEY, SECURITY_CREDENTIAL, make_config

PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    + "\n".join(PUBLIC_KEY[i : i + 64] for i in range(0, len(PUBLIC_KEY), 64))
    + "\n-----END PUBLIC KEY-----\n"
)


def _public(key: Any, encoding: serialization.Encoding) -> bytes:
    found: bytes = key.public_key().public_bytes(
        encoding, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


def _bare(key: Any) -> str:
    return base64.b64encode(_public(key, serialization.Encoding.DER)).decode()


@pytest.mark.parametrize(
    "text",
    [
        PUBLIC_KEY,
        PEM,
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", " "),
        f"  {PUBLIC_KEY[:100]} \n {PUBLIC_KEY[100:]}\n\n",
    ],
)
def test_a_public_key_is_the_same_however_it_was_pasted(text: str, tmp_path: Path) -> None:
    assert make_config(public_key=text).public_key == PUBLIC_KEY
    for name, content in (("key", text), ("key.pem", "\ufeff" + text)):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        assert make_config(public_key=str(path)).public_key == PUBLIC_KEY
        assert make_config(public_key=path).public_key == PUBLIC_KEY


ENDPOINTS = {"c2b": "relay.example:443", "b2c": ":8443"}


@pytest.mark.parametrize(
    ("setting", "pasted", "kept"),
    [
        ("api_key", f"\u200b{API_KEY[:9]}\u200b{API_KEY[9:]}\ufeff\u00a0", API_KEY),
        ("public_key", f"\ufeff{PUBLIC_KEY[:70]}\u200b\u00a0{PUBLIC_KEY[70:]}", PUBLIC_KEY),
        ("public_key", PEM.replace("-----", "\u2014\u2014\u2014\u2014\u2014"), PUBLIC_KEY),
        ("public_key", PEM.replace("\n", "\u200e\n"), PUBLIC_KEY),
        ("service_provider_code", "\u202a171717\u202c", "171717"),
        ("service_provider_code", "\u0661\u0667\u0661\u0667\u0661\u0667", "171717"),
        ("environment", "sandbox\u200b ", "sandbox"),
        ("endpoints", " c2b=relay.example:443\u200b, b2c = :8443", ENDPOINTS),
        ("endpoints", {"c2b": "relay.example:443", "b2c": ":8443"}, ENDPOINTS),
        (
            "proxy",
            "\u200bhttp://u:p%40@proxy.example:3128\ufeff",
            "http://u:p%40@proxy.example:3128",
        ),
        ("user_agent", "shop/2\u200b", "shop/2"),
        ("host", "\u200egateway.example\ufeff", "gateway.example"),
        ("port", " \u200b443", 443),
        ("timeout", "10,\u200b60", (10.0, 60.0)),
        ("timeout", "(10.0, 60.0)", (10.0, 60.0)),  # as the error shows it
        ("initiator_identifier", "\u200bMPesa2018", "MPesa2018"),
        ("security_credential", "se\u200bcret\ufeff", "secret"),
        ("callback_token", "\u202aa-token-of-20-letters\u202c", "a-token-of-20-letters"),
        ("msisdn_prefixes", ("84\u200b", "85"), ("84", "85")),
        ("verify", "\u202atrue\u202c", True),
    ],
)
def test_what_is_pasted_into_a_setting_is_freed_of_what_cannot_be_seen(
    setting: str, pasted: object, kept: object
) -> None:
    assert getattr(make_config(**{setting: pasted}), setting) == kept


def test_the_path_of_a_file_may_have_been_pasted_too(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(PEM)
    for pasted in (f"\u202a{path}\u202c", f"{path}\u200b"):
        assert make_config(public_key=pasted).public_key == PUBLIC_KEY
        assert make_config(verify=pasted).verify == str(path)


def test_the_place_of_a_single_operation() -> None:
    places = {"c2b": "relay.example:443", "b2c": ":8443", "b2b": "relay.example", "reversal": "::1"}
    config = make_config(host="gateway.example", endpoints=places)
    assert config.address_for("c2b", 18352) == ("relay.example", 443)
    assert config.address_for("b2c", 18345) == ("gateway.example", 8443)
    assert config.address_for("b2b", 18349) == ("relay.example", 18349)
    assert config.address_for("reversal", 18354) == ("::1", 18354)
    assert config.address_for("query_customer_name", 19323) == ("gateway.example", 19323)
    assert make_config(endpoints={"c2b": "[::1]:443"}).address_for("c2b", 1) == ("::1", 443)
    assert replace(config).endpoints == config.endpoints


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
ROOMY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_key": ""}, ["api_key", "missing"]),
        ({"api_key": None}, ["api_key", "missing"]),
        ({"api_key": "two words"}, ["api_key", "one word"]),
        ({"public_key": ""}, ["public_key", "missing"]),
        ({"public_key": "!!!"}, ["public_key", "neither Base64 nor PEM"]),
        ({"public_key": "/no/such/file.pem"}, ["public_key", "No such file"]),
        ({"public_key": PUBLIC_KEY[:-8]}, ["public_key", "copy it again"]),
        ({"public_key": "a\0b"}, ["public_key"]),
        # Some keys have no slash in their first 255 characters: too long for a file name.
        ({"public_key": "A" * 400}, ["public_key", "copy it again"]),
        ({"public_key": "~nobodyatall/key!"}, ["public_key"]),
        ({"public_key": _bare(ec.generate_private_key(ec.SECP256R1()))}, ["public_key", "RSA"]),
        ({"public_key": _bare(ed25519.Ed25519PrivateKey.generate())}, ["public_key", "RSA"]),
        ({"public_key": _bare(SMALL)}, ["public_key", "1024 bits", "2048"]),
        ({"public_key": PEM.replace("PUBLIC", "PRIVATE")}, ["public_key", "private key"]),
        ({"public_key": PEM.replace("PUBLIC KEY", "CERTIFICATE")}, ["certificate"]),
        ({"public_key": _bare(ROOMY), "api_key": "k" * 246}, ["api_key", "246", "245"]),
        ({"service_provider_code": "1717"}, ["service_provider_code", "5 or 6 digits"]),
        ({"service_provider_code": None}, ["service_provider_code"]),
        ({"environment": "live"}, ["environment", "sandbox", "production", "local"]),
        ({"host": "https://api.vm.co.mz"}, ["host", "no https://"]),
        ({"host": "api.vm.co.mz:18352"}, ["host", "port"]),
        ({"host": ""}, ["host"]),
        ({"port": 0}, ["port", "65535"]),
        ({"port": True}, ["port"]),
        ({"port": "http"}, ["port"]),
        ({"ssl": "perhaps"}, ["ssl", "true or false"]),
        ({"ssl": False}, ["ssl", "HTTPS"]),
        ({"verify": "/no/such/ca.pem"}, ["verify", "does not exist"]),
        ({"verify": None}, ["verify"]),
        ({"environment": "production", "verify": False}, ["verify", "production"]),
        ({"environment": "production", "ssl": False, "host": "x"}, ["ssl"]),
        ({"origin": "a\nb"}, ["origin"]),
        ({"timeout": 0}, ["timeout", "connect, read"]),
        ({"timeout": (1, 2, 3)}, ["timeout"]),
        ({"timeout": "soon"}, ["timeout"]),
        ({"timeout": float("nan")}, ["timeout"]),
        ({"timeout": 10**400}, ["timeout"]),
        ({"service_provider_code": 10**5000}, ["service_provider_code"]),
        ({"msisdn_prefixes": [10**5000]}, ["msisdn_prefixes"]),
        ({"endpoints": {10**5000: ":443"}}, ["endpoints"]),
        ({"initiator_identifier": " "}, ["initiator_identifier"]),
        ({"security_credential": ""}, ["security_credential"]),
        ({"callback_token": "short"}, ["callback_token", "16"]),
        ({"callback_token": "with/slash/in/its/middle"}, ["callback_token"]),
        ({"msisdn_prefixes": ()}, ["msisdn_prefixes", "84,85"]),
        ({"msisdn_prefixes": ("184",)}, ["msisdn_prefixes"]),
        ({"retries": -1}, ["retries", "0 to 10"]),
        ({"endpoints": {"c2b": "https://x"}}, ["endpoints", "relay.example:443"]),
        ({"endpoints": {"c2b": ":0"}}, ["endpoints"]),
        ({"endpoints": {"c2b": "x:70000"}}, ["endpoints"]),
        ({"endpoints": {"c2b": ""}}, ["endpoints"]),
        ({"endpoints": {"c2c": ":443"}}, ["endpoints", "query_customer_name"]),
        ({"endpoints": ["c2b"]}, ["endpoints"]),
        ({"proxy": "proxy.example:3128"}, ["proxy", "http://user:password@"]),
        ({"proxy": "http://u:a-password@proxy.example"}, ["proxy", "a port"]),
        ({"proxy": "socks5://proxy.example:1080"}, ["proxy", "http or https"]),
        ({"proxy": "http://u:%E2%82%ACuro@proxy.example:3128"}, ["proxy", "Latin-1"]),
        ({"proxy": "http://proxy.example:0"}, ["proxy", "a port"]),
        ({"proxy": "http://u:p[@proxy.example:3128"}, ["proxy"]),
        ({"user_agent": ""}, ["user_agent"]),
        ({"user_agent": "a\nb"}, ["user_agent"]),
        (
            {"environment": "production"},
            ["service_provider_code", "171717", "others would be paid"],
        ),
    ],
)
def test_a_wrong_value_is_told_by_name_with_what_would_be_right(
    changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_config(**changes)
    assert caught.value.setting in words[0] or caught.value.setting in changes
    for word in words:
        assert word in str(caught.value)
    for secret in (API_KEY, SECURITY_CREDENTIAL, "k" * 246):
        assert secret not in str(caught.value)


def test_a_binary_key_file_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "key.der"
    path.write_bytes(_public(ROOMY, serialization.Encoding.DER))
    with pytest.raises(ConfigurationError, match="binary"):
        make_config(public_key=path)


def test_the_three_ways_to_configure_give_the_same(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    by_hand = make_config(port=443, verify=bundle, timeout=(5, 60), msisdn_prefixes=["84"])
    texts = {
        "MPESA_API_KEY": f" {API_KEY}\n",
        "MPESA_PUBLIC_KEY": PEM,
        "MPESA_SERVICE_PROVIDER_CODE": "171717",
        "MPESA_ENVIRONMENT": "local",
        "MPESA_INITIATOR_IDENTIFIER": "MPesa2018",
        "MPESA_SECURITY_CREDENTIAL": SECURITY_CREDENTIAL,
        "MPESA_CALLBACK_TOKEN": CALLBACK_TOKEN,
        "MPESA_PORT": "443",
        "MPESA_VERIFY": str(bundle),
        "MPESA_TIMEOUT": "5,60",
        "MPESA_MSISDN_PREFIXES": "84",
    }
    assert MpesaConfig.from_mapping({**texts, "SECRET_KEY": "another program's"}) == by_hand
    assert MpesaConfig.from_env({**texts, "MPESA_HOME": "/opt", "MPESA_HOST": ""}) == by_hand


def test_a_mistyped_key_of_a_mapping_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean MPESA_API_KEY"):
        MpesaConfig.from_mapping({"MPESA_APIKEY": "x"})


def test_a_number_alone_is_the_time_to_wait_for_an_answer() -> None:
    assert make_config(timeout=30).timeout == (10.0, 30.0)
    assert MpesaConfig.__dataclass_fields__["timeout"].default == (10.0, 120.0)


@pytest.mark.parametrize(
    ("changes", "port"),
    [
        ({"environment": "sandbox"}, 18352),
        ({"environment": "production"}, 18352),
        ({"environment": "local"}, 18443),
        ({"environment": "local", "host": "127.0.0.1"}, 18352),
        ({"environment": "production", "port": 443}, 443),
    ],
)
def test_the_port_is_the_documented_one_unless_one_is_set(
    changes: dict[str, object], port: int
) -> None:
    config = make_config(service_provider_code="123456", **changes)
    assert config.address_for("c2b", 18352)[1] == config.port_for(18352) == port


def test_hosts_are_the_documented_ones() -> None:
    assert make_config(environment="sandbox").address == "api.sandbox.vm.co.mz"
    live = make_config(environment="production", service_provider_code="123456")
    assert live.address == "api.vm.co.mz"
    older = make_config(host="api.mpesa.vm.co.mz", service_provider_code="123456")
    assert older.address == "api.mpesa.vm.co.mz"


def test_no_secret_shows_and_nothing_can_be_changed() -> None:
    config = make_config()
    for secret in (API_KEY, SECURITY_CREDENTIAL, CALLBACK_TOKEN, PUBLIC_KEY[:30]):
        assert secret not in repr(config)
        assert secret not in str(config)
    with pytest.raises(AttributeError):
        config.api_key = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(make_config())


def test_verify_off_warns(caplog: pytest.LogCaptureFixture) -> None:
    make_config(verify=False)
    assert "config.verify_off" in caplog.text


_anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60) | st.binary()
    | st.lists(st.integers() | st.text(max_size=4), max_size=3)
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(sorted(MpesaConfig.__dataclass_fields__)), _anything, max_size=4
    )
)
def test_no_value_makes_anything_but_a_configuration_error(changes: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):
        make_config(**changes)


def test_the_documented_pair_gives_a_token_of_the_documented_form() -> None:
    documented = (Path(__file__).parents[1] / "data" / "documented_bearer.txt").read_text().strip()
    tokens = {bearer_token(API_KEY, PUBLIC_KEY) for _ in range(2)}
    assert len(tokens) == 2
    assert {len(token) for token in tokens} == {len(documented)} == {684}
    assert all(len(base64.b64decode(token, validate=True)) == 512 for token in tokens)


def test_bearer_token_alone_says_what_is_wrong() -> None:
    with pytest.raises(ConfigurationError, match="public_key"):
        bearer_token(API_KEY, "nonsense!")
    with pytest.raises(ConfigurationError, match="api_key"):
        bearer_token(" ", PUBLIC_KEY)
