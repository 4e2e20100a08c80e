"""The shop of docs/quickstart-flask.md in a fire run: the code as it stands there, and customers.

Of the code is changed only where its database and its gateway are, and how long it waits.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import re
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from urllib3 import PoolManager, disable_warnings
from urllib3.exceptions import HTTPError, InsecureRequestWarning

_PAGE = Path(__file__).parents[2] / "docs" / "quickstart-flask.md"
disable_warnings(InsecureRequestWarning)  # the shop's certificate is its own
_CODE = re.compile(r'^```python title="app.py"\n(.*?)^```', re.MULTILINE | re.DOTALL)
_CUSTOMERS = 800
_CLICKS_TWICE = 0.3  # how often a customer pays in two tabs at once
_PATIENCE = 600.0  # seconds of a customer who still does not know: a minute for each unlucky try
_TABS, _A_LOOK = 200, 60.0  # connections of a process, and the seconds that an answer has
_PAUSE, _LONGEST_PAUSE = 1.0, 8.0  # seconds between two looks at the page, more each time
_PAID, _FORM = "We have received", "<form"


def load(directory: Path, account: Mapping[str, Any], database: URL) -> ModuleType:
    """Run the page's code in this process, as the module `app`.

    Args:
        directory: the shop's; its gateway has written the account there.
        account: settings beside those that the gateway has written.
        database: where its records are.
    """
    found = _CODE.search(_PAGE.read_text(encoding="utf-8"))
    assert found is not None, "the page has no app.py"
    code = found[1]
    settings = {**{f"MPESA_{name}": value for name, value in account.items()}, "TESTING": True}
    for old, new in (
        ('"sqlite:///shop.db"', repr(database.render_as_string(hide_password=False))),
        ('".mpesa-simulator/account.json"', repr(str(directory / "account.json"))),
        ("\ndb = SQLAlchemy(app)", f"\napp.config.update({settings!r})\ndb = SQLAlchemy(app)"),
    ):
        assert code.count(old) == 1, f"the page's app.py has changed where it had {old}"
        code = code.replace(old, new)
    # Of its own for each process: it says how this one applies its callbacks.
    module = directory / f"process-{time.monotonic_ns()}" / "app.py"
    module.parent.mkdir()
    module.write_text(code, encoding="utf-8")
    sys.path.insert(0, str(module.parent))
    while True:
        # The code makes its tables when it is imported, so it does not start without its database.
        with contextlib.suppress(OperationalError):
            return importlib.import_module("app")
        time.sleep(_PAUSE)


class Customers:
    """Who buys in the shop, by its page.

    Args:
        port: where the page is.
        seed: what their choices are made of.
        directory: where it is noted since when each waits, also by customers that were killed.
    """

    def __init__(self, port: int, seed: str, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._page = f"https://127.0.0.1:{port}/pay/"
        self._seed = seed
        # As a browser does, they keep their connections: a server takes in one new one at a time.
        self._browser = PoolManager(
            maxsize=_TABS, cert_reqs="CERT_NONE", retries=False, timeout=_A_LOOK
        )

    def buy(self, order: str) -> str | None:
        """Pay for an order, again where it is declined; what was wrong, if that cannot be done.

        Each look at the page says what to do: pay by the form, if there is one, else wait.
        """
        rng = random.Random(f"{self._seed}/customer/{order}")
        began = self._directory / order
        if not began.exists():
            began.touch()
        seen, pause = None, _PAUSE
        while time.time() < began.stat().st_mtime + _PATIENCE:
            seen = self._see(order)
            if seen is not None and _PAID in seen:
                return None
            if seen is not None and _FORM in seen:
                self._pay(order, rng)
                pause = _PAUSE
            else:
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return f"{order}: its customer cannot pay; the page says {seen!r}"

    def come_back(self, order: str) -> str | None:
        """Pay once more for what was paid; it is not to be taken."""
        self._pay(order, random.Random(f"{self._seed}/back/{order}"))
        return None

    def _pay(self, order: str, rng: random.Random) -> None:
        """Pay with some phone, or with two at once."""
        tabs = 2 if rng.random() < _CLICKS_TWICE else 1
        phones = [f"25884{1_000_000 + rng.randrange(_CUSTOMERS)}" for _ in range(tabs)]
        with ThreadPoolExecutor(tabs) as pool:
            list(pool.map(lambda phone: self._see(order, phone), phones))

    def _see(self, order: str, phone: str | None = None) -> str | None:
        """What the page says, after paying with a phone; None where there is no page to be had."""
        method, body = ("GET", None) if phone is None else ("POST", f"phone={phone}")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = self._browser.request(method, self._page + order, body=body, headers=headers)
        except HTTPError:  # its server may have just been killed
            return None
        # And it may have no database.
        return answer.data.decode() if answer.status < HTTPStatus.BAD_REQUEST else None
