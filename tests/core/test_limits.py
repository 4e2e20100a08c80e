"""The numbers that a worker is started with."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mpesa_integrations import ValidationError
from mpesa_integrations.commands import reconcile
from mpesa_integrations.core.payments.calls import Payments
from mpesa_integrations.core.payments.limits import check_counts, check_every, check_rate
from mpesa_integrations.core.payments.registry import Accounts
from mpesa_integrations.core.settings.account import AccountSettings

from .conftest import make_config

NO_COUNTS: list[Any] = [0, -1, 10_001, 10**30, True, 1.5, "5", None, math.nan]
NO_PACES: list[Any] = [0, 0.0, -1, -0.5, math.nan, math.inf, -math.inf, 1e-300, True, "5", 10**400]


def _payments() -> Payments[Any, Any]:
    nowhere: Any = None
    return Payments("default", AccountSettings(config=make_config()), nowhere, nowhere)


def _refused(call: Any, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        call()
    assert list(caught.value.errors) == [name]
    assert f"Nothing was sent. {name}: must be" in str(caught.value)
    assert caught.value.errors_in("pt") != caught.value.errors


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", ["batch", "workers"])
def test_no_run_of_no_rows_or_no_queries(name: str, value: Any) -> None:
    _refused(lambda: _payments().reconciler(**{name: value}), name)
    _refused(lambda: _payments().reconcile(**{name: value}), name)
    _refused(lambda: check_counts(**{name: value}), name)


@pytest.mark.parametrize("value", NO_COUNTS)
def test_no_callbacks_are_applied_by_less_than_one(value: Any) -> None:
    _refused(lambda: _payments().apply_callbacks(value), "limit")


@pytest.mark.parametrize("value", NO_PACES)
def test_no_rate_that_never_asks(value: Any) -> None:
    _refused(lambda: _payments().reconciler(rate=value), "rate")


@pytest.mark.parametrize("value", [*NO_PACES[:-4], 1e300, "5", 10**400])
def test_no_worker_that_never_rests_or_never_comes_back(value: Any) -> None:
    accounts: Accounts[Any, Any] = Accounts(lambda: 1 / 0, lambda *_: None)  # type: ignore[arg-type, return-value]
    how: dict[str, Any] = {"batch": 1, "workers": 1, "rate": None, "echo": print}
    _refused(lambda: reconcile(accounts, every=value, **how), "every")


def test_numbers_that_are_right() -> None:
    check_counts(batch=1, workers=10_000)
    for number in (None, 0.01, 1, 50.5):
        check_rate(number)
        check_every(number)


def test_a_task_that_would_look_at_nothing_is_refused() -> None:
    celery = pytest.importorskip("celery", reason="it runs without Celery, too")
    celery.Celery("limits").set_current()  # another test may have left one that it has closed
    from mpesa_integrations.tasks import make_tasks

    tasks = make_tasks("tests_of_limits", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    for how in ({"batch": 0}, {"parallel": 0}, {"parallel": -1}):
        _refused(lambda how=how: tasks.reconcile(**how), next(iter(how)))
