"""What the processes of these tests have imported before they begin: see `processes`."""

from __future__ import annotations

import os
from importlib import import_module

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.django.settings"
django.setup()
for _name in ("dying_worker", "payer", "queue_worker", "worker", "working"):
    import_module(f"{__package__}.{_name}")
