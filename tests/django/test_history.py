"""Every way in the admin to make, change or delete history is closed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured

from django_mpesa.admin import CallbackLogAdmin, TransactionAdmin

_MODELS = """
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django_mpesa.models import AbstractTransaction

class Order(models.Model):
    payments = GenericRelation("shop.Payment")

class Payment(AbstractTransaction):
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.CASCADE)
    class Meta(AbstractTransaction.Meta): pass
"""
_URLS = """
from django.urls import path
from __main__ import sites
SITES = dict(zip(("admin", "bare", "opened"), sites()))
urlpatterns = [path(f"{name}/", site.urls) for name, site in SITES.items()]
"""


@pytest.mark.slow
def test_no_page_action_or_inline_of_any_site_changes_history(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "models.py").write_text(_MODELS)
    (tmp_path / "history_urls.py").write_text(
        _URLS.replace("tests.django.history_site", "__main__")
    )
    script = Path(__file__).with_name("history_site.py")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    found = re.fullmatch(r"([0-9]+) tried, ([0-9]+) orders", done.stdout.splitlines()[-1])
    assert found
    assert int(found[1]) > 30
    assert int(found[2]) >= 1


@pytest.mark.parametrize("base", [TransactionAdmin, CallbackLogAdmin])
@pytest.mark.parametrize(
    "name", ["has_delete_permission", "has_change_permission", "save_model", "delete_queryset"]
)
def test_an_admin_that_opens_history_is_refused(base: Any, name: str) -> None:
    opening = {name: lambda *args, **kwargs: True}
    with pytest.raises(ImproperlyConfigured, match=f"Opened has a {name}"):
        type("Opened", (base,), opening)
    of_the_shop = type("OfTheShop", (admin.ModelAdmin,), opening)
    with pytest.raises(ImproperlyConfigured, match=name):
        type("Opened", (of_the_shop, base), {})
    assert type("Ours", (base, of_the_shop), {})


def test_a_list_that_is_edited_in_place_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="list_editable"):
        type("Opened", (TransactionAdmin,), {"list_editable": ("state",)})
