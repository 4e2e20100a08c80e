"""Our tokens in other hands, and others' in ours: OpenSSL and the documented Java recipe."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mpesa_integrations import bearer_token
from mpesa_integrations.simulator import Simulator
from tests.support.programs import QUICK_JAVA
from tests.support.raw import RawClient

from .conftest import API_KEY

PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = base64.b64encode(
    PRIVATE_KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
).decode()
PRIVATE_DER = PRIVATE_KEY.private_bytes(
    serialization.Encoding.DER,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def _need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed, and CI must have it")
        pytest.skip(f"{program} is not installed")
    return found


def _java(*lines: str) -> str:
    source = Path(__file__).with_name("Bearer.java")
    done = subprocess.run(
        [_need("java"), *QUICK_JAVA, str(source)],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_openssl_decrypts_our_token(tmp_path: Path) -> None:
    key = tmp_path / "private.der"
    key.write_bytes(PRIVATE_DER)
    done = subprocess.run(
        [_need("openssl"), "pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", str(key),
         "-pkeyopt", "rsa_padding_mode:pkcs1"],
        input=base64.b64decode(bearer_token(API_KEY, PUBLIC_KEY)),
        capture_output=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.decode() == API_KEY


@pytest.mark.slow
def test_java_decrypts_our_token() -> None:
    private = base64.b64encode(PRIVATE_DER).decode()
    assert _java("decrypt", private, bearer_token(API_KEY, PUBLIC_KEY)) == API_KEY


@pytest.mark.slow
def test_the_gateway_accepts_a_token_of_the_documented_java_recipe(
    mpesa_simulator: Simulator,
) -> None:
    account = mpesa_simulator.account
    client = RawClient(mpesa_simulator)
    client.token = _java("encrypt", account.public_key, account.api_key)
    assert client.code("c2b") == "INS-0"
    client.session.close()
