"""Events of payments from a real server: uvicorn, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import django
import pytest

from tests.support.served import Served, served
from tests.support.waiting import until

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), "asgi") as found:
        yield found


def test_two_browsers_are_told_once_the_callback_has_come(site: Served) -> None:
    payment = site.payments[0]
    with site.events(payment) as one, site.events(payment) as another:
        assert [next(one)["state"], next(another)["state"]] == ["pending", "pending"]
        site.receive(payment)
        for told in (one, another):
            (news,) = told  # and nothing after it
            assert (news["state"], news["is_open"]) == ("completed", False)
            assert news["message"] == "We have received 150.00 MZN. Thank you."


def test_nothing_is_left_of_a_browser_that_went_away(site: Served) -> None:
    if django.VERSION < (5, 0):
        pytest.skip("Django hears of a browser that went away from 5.0 on; before, events end")
    before = site.count()
    with site.events(site.payments[1]) as one, site.events(site.payments[2]) as another:
        assert [next(one)["state"], next(another)["state"]] == ["pending", "pending"]
        assert site.count()["tasks"] >= before["tasks"] + 2
    until(lambda: site.count() == before)
