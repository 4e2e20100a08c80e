"""What `make types` reads of README and docs, and that it sees what is wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import documented_code, type_checks

PAGE = """
```python
from django_mpesa import mpesa

payment = mpesa.c2b(order="O-1", msisdn="84 123 4567", amount="150.00")
```

```python
assert payment.is_paid
mpesa.c2bb(order="O-2")
```

```python
import os

print(os.sep)
```

```python title="shop/settings.py"
INSTALLED_APPS += ["django_mpesa"]
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    monkeypatch.setattr(documented_code, "ROOT", tmp_path)
    monkeypatch.setattr(documented_code, "PAGES", (file,))
    return file


def test_a_block_that_uses_what_was_made_goes_on_with_it(page: Path, tmp_path: Path) -> None:
    [folder] = documented_code.write(tmp_path / "written")
    found = {str(file.relative_to(folder)): file.read_text() for file in folder.glob("**/*.py")}
    assert set(found) == {"block_1.py", "block_3.py", "shop/settings.py"}
    assert "c2bb" in found["block_1.py"]
    assert found["shop/settings.py"].startswith("INSTALLED_APPS: list[str] = []\n")


def test_each_block_of_the_docs_is_checked(tmp_path: Path) -> None:
    folders = documented_code.write(tmp_path)
    read = "".join(file.read_text() for folder in folders for file in folder.glob("**/*.py"))
    for page in documented_code.PAGES:
        for _, text in documented_code.blocks_of(page):
            assert text in read, page


@pytest.mark.long
def test_both_checkers_see_a_call_that_is_none(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    folder = tmp_path / "written"
    pages = documented_code.write(folder)
    for found in (type_checks.by_pyright(folder, pages), type_checks.by_mypy(folder, pages)):
        assert len(found) == 1, found
        assert "c2bb" in found[0]
        assert found[0].startswith("page/block_1.py:7")


def test_the_packages_that_are_released_have_a_threshold() -> None:
    assert set(type_checks.wanted()) == {"mpesa_integrations", "django_mpesa", "flask_mpesa"}
