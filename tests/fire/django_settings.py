"""The Django shop of a fire run; FIRE_DIR is the run's folder."""

import os
from pathlib import Path

from mpesa_integrations.core.settings.client import settings_in_account_file

from .apps import ACCOUNT, DATABASES_OF

_DIR = Path(os.environ["FIRE_DIR"])
SECRET_KEY = "only for tests"
USE_TZ = True
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.django.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_mpesa",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASES_OF["django"],
        "USER": "postgres",
        "HOST": "127.0.0.1",
    }
}
_found = settings_in_account_file(_DIR / "django" / "account.json")
MPESA = {"default": {**{name.upper(): value for name, value in _found.items()}, **ACCOUNT}}
MPESA["default"]["APPLY_CALLBACKS"] = os.environ["FIRE_APPLY_CALLBACKS"]
