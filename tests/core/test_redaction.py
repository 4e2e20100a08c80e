"""No object of ours shows a secret or a whole number, and a secret is text as any other."""

from __future__ import annotations

import copy
import json
import pickle
from pprint import pformat
from typing import Any

import pytest
import requests

from mpesa_integrations import CallContext, MpesaClient, MsisdnError, bearer_token, normalise_msisdn
from mpesa_integrations.core.client.transport import _prepared
from mpesa_integrations.core.redaction import Secret, forgetful, hide_secrets, without_secrets
from mpesa_integrations.core.settings.account import AccountSettings
from tests.support.reports import NUMBER, frames, leaks

from .conftest import API_KEY, CALLBACK_TOKEN, PUBLIC_KEY, SECURITY_CREDENTIAL, make_config

PASSWORD = "word-of-the-proxy"
SECRETS = [API_KEY, SECURITY_CREDENTIAL, CALLBACK_TOKEN, "MPesa2018", PASSWORD]


def _shown(found: Any) -> str:
    """What a debugger shows of an object, and of what is in it."""
    names = getattr(found, "__slots__", None) or list(getattr(found, "__dict__", {}))
    shown = f"{found!r} {found} {pformat(found)}"
    return shown + "".join(f" {name}={getattr(found, name, None)!r}" for name in names)


def test_no_object_shows_a_secret() -> None:
    config = make_config(proxy=f"http://someone:{PASSWORD}@127.0.0.1:3128")
    client = MpesaClient(config)
    assert without_secrets(f"by {config.proxy}") == "by http://someone:•••@127.0.0.1:3128"
    settings = AccountSettings.from_mapping(
        {
            "API_KEY": API_KEY, "PUBLIC_KEY": PUBLIC_KEY, "SERVICE_PROVIDER_CODE": "171717",
            "CALLBACK_BASE_URL": f"https://x:{API_KEY}@shop.example",
        }
    )  # fmt: skip
    name = client.prepare("query_customer_name", msisdn=NUMBER)
    payment = client.prepare("c2b", msisdn=NUMBER, amount=1, reference="X")
    reversal = client.prepare("reversal", transaction_id="4X")
    secrets = [*SECRETS, client._bearer_for(config)]
    for prepared in (name, payment, reversal):
        request = client._exchange(prepared).request
        wire: requests.PreparedRequest = _prepared(request)
        assert str(secrets[-1]) in wire.headers["Authorization"]
        assert leaks(f"{request!r} {request} {prepared!r} {wire!r} {wire.headers}", secrets) == []
    context = CallContext(method="GET", path="/", parameters={"n": NUMBER}, api_key=API_KEY)
    for found in (config, client, settings):
        assert leaks(_shown(found), secrets) == []
    assert leaks(repr(context), secrets) == []


def test_a_secret_is_text_as_any_other() -> None:
    found = Secret("abc")
    assert (found, f"{found}", str(found), "".join([found])) == ("abc",) * 4
    assert json.dumps({"a": found}) == '{"a": "abc"}'
    assert repr(found) == "'•••'" == repr(pickle.loads(pickle.dumps(found))) == repr([found])[1:-1]
    assert copy.deepcopy(found) == "abc"
    assert {"abc": 1}[found] == 1


def test_settings_are_hidden_and_stay_what_they_were() -> None:
    options: dict[str, Any] = {
        "API_KEY": API_KEY, "SECURITY_CREDENTIAL": 12345678, "PROXY": None, "PORT": 1
    }  # fmt: skip
    before = dict(options)
    hide_secrets(options)
    hide_secrets(options)
    assert options["API_KEY"] == API_KEY
    assert {name: options[name] for name in ("PROXY", "PORT")} == {"PROXY": None, "PORT": 1}
    assert leaks(repr(options), [API_KEY, "12345678"]) == []
    assert leaks(repr(before), [API_KEY])
    assert without_secrets(f"a {API_KEY} b") == "a ••• b"


@pytest.mark.parametrize(
    "call",
    [
        lambda: bearer_token(API_KEY + " " + API_KEY, PUBLIC_KEY),
        lambda: bearer_token(API_KEY, "nonsense"),
        lambda: make_config(api_key=API_KEY + "\n" + API_KEY),
        lambda: make_config(security_credential=SECURITY_CREDENTIAL + "\n!"),
        lambda: make_config(callback_token=CALLBACK_TOKEN + "!"),
        lambda: make_config(timeout="x"),
        lambda: AccountSettings.from_mapping({"API_KEY": API_KEY, "PUBLIC_KEY": "x"}),
        lambda: MpesaClient(make_config()).renew(api_key=API_KEY + " x"),
        lambda: MpesaClient(make_config()).c2b(msisdn=NUMBER, amount=-1, reference="X"),
        lambda: normalise_msisdn(NUMBER + "7"),
    ],
)
def test_no_frame_of_a_refusal_shows_a_secret(call: Any) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each has its own
        call()
    assert leaks(frames(caught.value), SECRETS) == []


def test_an_error_says_where_it_was_raised() -> None:
    def inner(secret: str) -> None:
        raise ValueError(f"{NUMBER} is wrong") from KeyError(f"258{NUMBER}")

    @forgetful
    def outer(secret: str) -> None:
        inner(secret)

    with pytest.raises(ValueError, match="25884•••") as caught:
        outer(API_KEY)
    assert [entry.name for entry in caught.traceback][-3:] == ["forgetting", "outer", "inner"]
    assert caught.traceback[-1].frame.f_locals == {}
    assert str(caught.value.__cause__) == "'25884•••0987'"


def test_a_number_that_is_refused_is_not_in_the_error() -> None:
    with pytest.raises(MsisdnError) as caught:
        normalise_msisdn(NUMBER + "7")
    assert leaks(repr(caught.value), []) == []
