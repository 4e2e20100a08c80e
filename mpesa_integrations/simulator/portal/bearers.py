"""Without the library: a bearer made in the documented steps, and one of one's own looked into."""

from __future__ import annotations

from base64 import b64decode

from flask import Blueprint, render_template, request
from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _

from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.protocol.authentication import (
    bare_public_key,
    encrypt_api_key,
    load_public_key,
    normalise_api_key,
)
from mpesa_integrations.simulator.account_state import AccountState
from mpesa_integrations.simulator.bearer_check import Finding, look_into
from mpesa_integrations.simulator.gateway_key import GatewayKey

STEPS: tuple[LazyString, ...] = (
    _("Decode the Public Key from Base64 into bytes."),
    _("Make a public key of these bytes: an X.509 SubjectPublicKeyInfo in DER."),
    _("Take the cipher RSA with PKCS#1 v1.5 padding, for encrypting with this key."),
    _("Take the API Key's bytes, in UTF-8, and encrypt them."),
    _("Encode what came of it in Base64, on one line. That is the bearer."),
)
_SHOWN_BYTES = 24
_FINDINGS = {
    Finding.RIGHT: _(
        "This is a right bearer: it was made of your API Key, with this gateway's Public Key."
    ),
    Finding.EMPTY: _("There is nothing in the field. Paste the bearer that your program made."),
    Finding.SPACES: _(
        "It has spaces or line breaks inside. A bearer is one line: have your Base64 put none in."
    ),
    Finding.URL_SAFE: _(
        "It has - or _ inside: this is URL-safe Base64. The gateway takes the usual one, with +"
        " and /."
    ),
    Finding.NO_BASE64: _(
        "This is not Base64: it may have letters, digits, +, / and = at the end. In "
        "hexadecimal, or cut when it was copied?"
    ),
    Finding.PLAIN_KEY: _(
        "This is the API Key itself, not encrypted. Encrypt it with the Public Key first: steps"
        " 3 and 4."
    ),
    Finding.LENGTH: _(
        "It has not the length of what this gateway's Public Key makes: another key, or cut "
        "when it was copied?"
    ),
    Finding.OAEP: _(
        "It was encrypted with OAEP padding. The gateway takes PKCS#1 v1.5 only: step 3. In "
        "Java that is RSA/ECB/PKCS1Padding."
    ),
    Finding.NO_PADDING: _(
        "It was encrypted with no padding. The gateway takes PKCS#1 v1.5 only: step 3. In Java "
        "that is RSA/ECB/PKCS1Padding."
    ),
    Finding.OTHER_PUBLIC_KEY: _(
        "This gateway's private key cannot read it: it was encrypted with another Public Key. "
        "Copy the one of the Keys page, whole."
    ),
    Finding.SPACES_IN_KEY: _(
        "The API Key in it has spaces or a line break around it. Take them away before you encrypt."
    ),
    Finding.KEY_IN_BASE64: _(
        "The API Key in it is in Base64. Encrypt its own letters, in UTF-8: step 4."
    ),
    Finding.OTHER_API_KEY: _(
        "The Public Key is right, but the API Key in it is not yours as it stands now. Was it "
        "renewed, or is it that of another account? Copy it from the Keys page."
    ),
}


def add_pages(blueprint: Blueprint, gateway: AccountState, key: GatewayKey) -> None:
    """Add the page with its two boxes."""

    def page(**given: object) -> str:
        account = gateway.account
        values: dict[str, object] = {
            "api_key": account.api_key, "public_key": account.public_key, "values": (),
            "token": "", "problems": {}, "bearer": "", "finding": None, "right": False,
        }  # fmt: skip
        return render_template("bearers.html", steps=STEPS, **{**values, **given})

    @blueprint.get("/without-library")
    def without_library() -> str:
        return page()

    @blueprint.post("/without-library/make")
    def make_bearer() -> str | tuple[str, int]:
        api_key, public_key = (request.form.get(name, "") for name in ("api_key", "public_key"))
        try:
            values, token = _made(api_key, public_key)
        except ConfigurationError as error:
            problems = {error.setting: _problem(error)}
            return page(api_key=api_key, public_key=public_key, problems=problems), 400
        return page(api_key=api_key, public_key=public_key, values=values, token=token)

    @blueprint.post("/without-library/check")
    def check_bearer() -> str:
        bearer = request.form.get("bearer", "")
        finding = look_into(bearer, key, gateway.credentials.api_key)
        return page(bearer=bearer, finding=_FINDINGS[finding], right=finding is Finding.RIGHT)


def _made(api_key: str, public_key: str) -> tuple[list[str], str]:
    """The value that each step gives, in words, and the bearer. Raises a ConfigurationError."""
    plain, bare = normalise_api_key(api_key), bare_public_key(public_key)
    loaded = load_public_key(bare)
    numbers, size = loaded.public_numbers(), loaded.key_size // 8
    token = str(encrypt_api_key(plain, bare))
    return [
        gettext("%(count)s bytes: %(hex)s", count=len(b64decode(bare)), hex=_hex(b64decode(bare))),
        gettext(
            "RSA of %(bits)s bits, exponent %(exponent)s, modulus %(hex)s",
            bits=loaded.key_size, exponent=numbers.e,
            hex=_hex(numbers.n.to_bytes(size, "big")),
        ),
        gettext(
            "RSA/ECB/PKCS1Padding: takes %(room)s bytes at most and gives %(size)s",
            room=size - 11, size=size,
        ),
        gettext(
            "%(count)s bytes: %(hex)s – and encrypted, %(size)s bytes: %(encrypted)s",
            count=len(plain.encode()), hex=_hex(plain.encode()), size=size,
            encrypted=_hex(b64decode(token)),
        ),
        gettext("%(count)s characters: the bearer below", count=len(token)),
    ], token  # fmt: skip


def _hex(content: bytes) -> str:
    more = " …" if len(content) > _SHOWN_BYTES else ""
    return content[:_SHOWN_BYTES].hex(" ") + more


def _problem(error: ConfigurationError) -> str:
    if error.setting == "public_key":
        text = gettext(
            "This is no RSA public key of 2048 bits or more, in Base64. Copy it from the Keys "
            "page, whole."
        )
    else:
        text = gettext(
            "This is no API Key: one word, of 32 letters and digits. Copy it from the Keys page."
        )
    return str(text)
