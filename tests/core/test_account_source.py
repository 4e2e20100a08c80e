"""What a setting of accounts may be: a mapping, or an account loader in one of its shapes."""

from __future__ import annotations

from typing import Any

import pytest

from mpesa_integrations import ConfigurationError
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.loader import AccountSource
from tests.support import account_loader
from tests.support.account_loader import EMPTY, NoTokens, Rows, make_empty

PATH = account_loader.__name__


def _source(value: object) -> AccountSource:
    return AccountSource(lambda: value, "MPESA")


def test_a_mapping_is_given_as_it_is() -> None:
    accounts = {"default": {"API_KEY": "x"}}
    assert _source(accounts)() is accounts


@pytest.mark.parametrize(
    "value", [EMPTY, Rows, make_empty, f"{PATH}.Rows", f"{PATH}:make_empty", f" {PATH}.EMPTY\n"]
)
def test_a_loader_is_an_object_what_makes_one_or_the_path_of_either(value: object) -> None:
    source = _source(value)
    found = source()
    assert isinstance(found, Rows)
    assert source() is found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "NoneType has no aliases and no load and no aliases_by_token"),
        (7, "MPESA must be a mapping of accounts, or an account loader"),
        (NoTokens, "NoTokens has no aliases_by_token"),
        ("no.such.module.Loader", "'no.such.module.Loader' cannot be imported (ModuleNotFound"),
        ("", "'' cannot be imported (ValueError"),
        (f"{PATH}.Nothing", "it must be as shop.accounts.Loader"),
        (f"{PATH}.cannot_be_made", "cannot be made by calling cannot_be_made() (OSError"),
        (Rows().load, "cannot be made by calling Rows.load()"),
    ],
)
def test_what_is_no_loader_is_refused_and_says_what_would_be_right(
    value: object, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _source(value)()
    assert words in str(caught.value)
    assert caught.value.setting == "MPESA"


def test_another_setting_has_another_loader() -> None:
    values: list[object] = [Rows, EMPTY, {}]
    source = AccountSource(lambda: values[0], "MPESA")
    first = source()
    values.pop(0)
    assert source() is EMPTY is not first
    values.pop(0)
    assert source() == {}


def test_a_callback_reads_the_setting_once_however_many_accounts_there_are() -> None:
    settings = {f"shop{n}": {"CALLBACK_TOKEN": f"token-of-shop-number-{n:02}"} for n in range(20)}
    reads = []

    def source() -> dict[str, dict[str, str]]:
        reads.append(1)
        return settings

    def build(*of: object) -> Any:
        raise AssertionError(of)

    accounts: Accounts[Any, Any] = Accounts(source, build)
    assert accounts.accepting("token-of-shop-number-07") == ["shop7"]
    assert len(reads) == 1
