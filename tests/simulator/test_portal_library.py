"""What the portal has developers include: the wheel, or a bearer made without it, and checked."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import (
    MGF1,
    OAEP,
    AsymmetricPadding,
    PKCS1v15,
)
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mpesa_integrations.simulator import Simulator
from mpesa_integrations.simulator.portal import library_page
from mpesa_integrations.simulator.portal.installed_wheel import installed_wheel, own_distribution
from tests.support.raw import bearer

from .portal_client import PortalClient

ROOT = Path(__file__).parents[2]
DOCUMENTED = "aaaab09uz9f3asdcjyk7els777ihmwv8"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it is released."""
    directory = tmp_path_factory.mktemp("built")
    for name in ("build", "hatchling"):
        pytest.importorskip(name, reason=f"{name} is not installed, so no wheel is made")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir",
         str(directory), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def place(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is installed, bytecode and all."""
    directory = tmp_path_factory.mktemp("installed")
    _install(built, directory)
    return directory


@pytest.fixture
def installed(place: Path) -> Distribution:
    return _found_in(place)


class TestWheel:
    def test_it_is_what_was_installed(
        self, built: Path, installed: Distribution, tmp_path: Path
    ) -> None:
        wheel = installed_wheel(installed)
        assert wheel is not None
        assert wheel.file_name == built.name
        again = tmp_path / wheel.file_name
        again.write_bytes(wheel.content)
        assert _contents(again) == _contents(built)
        _check_record(again)
        _install(again, tmp_path / "again", "--no-compile")
        assert _found_in(tmp_path / "again").version == installed.version

    def test_the_page_has_it(
        self, portal: PortalClient, installed: Distribution, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(library_page, "own_distribution", lambda: installed)
        page = portal.get("library").text
        found = re.search(r'href="/portal/(library/[^"]+\.whl)"', page)
        assert found
        answer = portal.get(found[1])
        assert zipfile.ZipFile(BytesIO(answer.content)).testzip() is None
        assert f"./{found[1].removeprefix('library/')}[django]" in page
        assert portal.get("library/other.whl").status_code == 404

    def test_there_is_none_where_a_file_is_missing(self, place: Path, tmp_path: Path) -> None:
        broken = shutil.copytree(place, tmp_path / "broken")
        (broken / "mpesa_integrations" / "version.py").unlink()
        assert installed_wheel(_found_in(broken)) is None

    def test_where_there_is_none_the_page_says_so(
        self, portal: PortalClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(library_page, "own_distribution", lambda: None)
        page = portal.get("library").text
        assert "There is no wheel to download" in page
        assert "pip install 'mpesa-integrations[flask,sqlalchemy]'" in page
        assert ".whl" not in page

    def test_this_very_installation_is_told_apart(self, portal: PortalClient) -> None:
        has_one = installed_wheel(own_distribution()) is not None
        assert (".whl" in portal.get("library").text) is has_one


def _install(wheel: Path, directory: Path, *more: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *more,
         "--target", str(directory), str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip


def _found_in(directory: Path) -> Distribution:
    (found,) = distributions(path=[str(directory)])
    return found


def _check_record(wheel: Path) -> None:
    """Each file stands in RECORD with its hash and length, and nothing else does."""
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (record,) = (name for name in names if name.endswith("/RECORD"))
        rows = [line.rsplit(",", 2) for line in file.read(record).decode().splitlines()]
        assert [name for name, _, _ in rows] == names
        for name, digest, length in rows[:-1]:
            content = file.read(name)
            encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            assert (digest, length) == (f"sha256={encoded.rstrip('=')}", str(len(content))), name


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {
            name: file.read(name) for name in file.namelist() if not name.endswith(("/RECORD", "/"))
        }


def _encrypted(public_key: str, text: str, padding: AsymmetricPadding) -> str:
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, rsa.RSAPublicKey)
    return base64.b64encode(key.encrypt(text.encode(), padding)).decode()


def _oaep_that_looks_like_pkcs1(public_key: rsa.RSAPublicKey, text: str) -> str:
    """Encrypt with OAEP, by its seed such that the block begins as one of PKCS#1 v1.5."""
    size = public_key.key_size // 8
    message, digest = text.encode(), hashlib.sha1(usedforsecurity=False)
    room = size - 2 * digest.digest_size - 2 - len(message)
    content = digest.digest() + bytes(room) + b"\1" + message
    for number in range(100_000):
        seed = number.to_bytes(digest.digest_size, "big")
        masked = _xor(content, _mgf1(seed, len(content)))
        block = b"\0" + _xor(seed, _mgf1(masked, len(seed))) + masked
        padding, ended, rest = block[2:].partition(b"\0")
        if block[1] == 2 and len(padding) >= 8 and ended and rest:
            numbers = public_key.public_numbers()
            encrypted = pow(int.from_bytes(block, "big"), numbers.e, numbers.n)
            return base64.b64encode(encrypted.to_bytes(size, "big")).decode()
    raise AssertionError("no seed gives such a block")


def _mgf1(seed: bytes, length: int) -> bytes:
    made = b""
    while len(made) < length:
        counter = (len(made) // 20).to_bytes(4, "big")
        made += hashlib.sha1(seed + counter, usedforsecurity=False).digest()
    return made[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class TestMakingABearer:
    def test_each_step_shows_its_value_and_the_bearer_is_taken(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        account = mpesa_simulator.account
        page = portal.post(
            "without-library/make", on="without-library", api_key=account.api_key,
            public_key=account.public_key,
        ).text  # fmt: skip
        token = portal.text_of("made")
        assert mpesa_simulator.account_of(f"Bearer {token}") is mpesa_simulator
        der = base64.b64decode(account.public_key)
        assert f"{len(der)} bytes: {der[:24].hex(' ')} …" in page
        assert "RSA of 4096 bits, exponent 65537" in page
        assert "takes 501 bytes at most and gives 512" in page
        assert f"32 bytes: {account.api_key.encode()[:24].hex(' ')} …" in page
        assert base64.b64decode(token)[:24].hex(" ") in page
        assert "684 characters" in page

    def test_the_documented_pair_and_a_pem_are_taken(self, portal: PortalClient) -> None:
        text = (ROOT / "tests" / "data" / "documented_public_key.txt").read_text().strip()
        pem = f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"
        portal.post(
            "without-library/make", on="without-library", api_key=DOCUMENTED, public_key=pem
        )
        assert len(portal.text_of("made")) == 684

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("api_key", "", "one word, of 32 letters"), ("api_key", "a b", "one word, of 32"),
            ("api_key", "a" * 600, "one word, of 32 letters"),
            ("public_key", "", "no RSA public key"), ("public_key", "AAAA", "no RSA public key"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_beside_the_field(
        self, portal: PortalClient, mpesa_simulator: Simulator, field: str, value: str, words: str
    ) -> None:
        account = mpesa_simulator.account
        given = {"api_key": account.api_key, "public_key": account.public_key, field: value}
        answer = portal.post("without-library/make", on="without-library", **given)
        assert answer.status_code == 400
        problem = re.search(rf'id="{field.replace("_", "-")}-problem">([^<]*)<', answer.text)
        assert problem
        assert words in problem[1]
        assert 'id="made"' not in answer.text


class TestCheckingABearer:
    def _said(self, portal: PortalClient, text: str) -> str:
        page = portal.post("without-library/check", on="without-library", bearer=text).text
        found = re.search(r'id="finding"[^>]*>([^<]*)<', page)
        assert found
        return found[1]

    def test_a_right_one(self, portal: PortalClient, mpesa_simulator: Simulator) -> None:
        token = bearer(mpesa_simulator.account)
        for text in (token, f"Bearer {token}", f" {token}\n"):
            assert "This is a right bearer" in self._said(portal, text)

    def test_what_is_wrong_in_the_encoding(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        account = mpesa_simulator.account
        token = bearer(account)
        while not set("+/") <= set(token):
            token = bearer(account)
        raw = base64.b64decode(token)
        for text, words in [
            ("", "There is nothing"), (base64.encodebytes(raw).decode(), "line breaks inside"),
            (base64.urlsafe_b64encode(raw).decode(), "URL-safe"), (raw.hex()[:-1], "not Base64"),
            (token[:400], "length"), (token + "!", "not Base64"),
            (account.api_key, "API Key itself"),
            (base64.b64encode(account.api_key.encode()).decode(), "API Key itself"),
        ]:  # fmt: skip
            assert words in self._said(portal, text), words

    def test_what_is_wrong_in_the_encryption(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        account = mpesa_simulator.account
        key, public_key = account.api_key, account.public_key
        public = load_der_public_key(base64.b64decode(public_key))
        assert isinstance(public, rsa.RSAPublicKey)
        numbers = public.public_numbers()
        unpadded = pow(int.from_bytes(key.encode(), "big"), numbers.e, numbers.n)
        documented = (ROOT / "tests" / "data" / "documented_bearer.txt").read_text()
        base64_key = base64.b64encode(key.encode()).decode()
        for text, words in [
            (_encrypted(public_key, key, OAEP(MGF1(SHA1()), SHA1(), None)), "OAEP"),
            (_encrypted(public_key, key, OAEP(MGF1(SHA256()), SHA256(), None)), "OAEP"),
            (base64.b64encode(unpadded.to_bytes(512, "big")).decode(), "with no padding"),
            (documented, "another Public Key"),
            (base64.b64encode(b"\xff" * 512).decode(), "another Public Key"),
            (_encrypted(public_key, f"{key}\n", PKCS1v15()), "spaces or a line break around"),
            (_encrypted(public_key, base64_key, PKCS1v15()), "is in Base64"),
            (_encrypted(public_key, DOCUMENTED, PKCS1v15()), "not yours as it stands now"),
        ]:  # fmt: skip
            assert words in self._said(portal, text), words

    def test_oaep_that_looks_like_another_padding_is_told(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        account = mpesa_simulator.account
        public = load_der_public_key(base64.b64decode(account.public_key))
        assert isinstance(public, rsa.RSAPublicKey)
        text = _oaep_that_looks_like_pkcs1(public, account.api_key)
        assert "OAEP" in self._said(portal, text)

    def test_a_renewed_key_and_anothers_are_told_and_not_shown(
        self, portal: PortalClient, mpesa_simulator: Simulator
    ) -> None:
        other = mpesa_simulator.open_account()
        old = bearer(mpesa_simulator.account)
        mpesa_simulator.renew_api_key()
        for token in (old, bearer(other.account)):
            assert "not yours as it stands now" in self._said(portal, token)
        assert other.credentials.api_key not in portal.page


def test_nothing_of_it_is_logged(
    portal: PortalClient, mpesa_simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    account = mpesa_simulator.account
    with caplog.at_level("DEBUG"):
        portal.post(
            "without-library/make", on="without-library", api_key=account.api_key,
            public_key=account.public_key,
        )  # fmt: skip
        token = portal.text_of("made")
        portal.post("without-library/check", on="without-library", bearer=token)
    assert account.api_key not in caplog.text
    assert token not in caplog.text
