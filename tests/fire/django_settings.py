"""The Django shop of a fire run; FIRE_ACCOUNT is the file that its gateway has written."""

import os

from mpesa_integrations.core.settings.client import settings_in_account_file

from .apps import ACCOUNT
from .databases import chosen, url_of
from .shops import SHOPS

SECRET_KEY = "only for tests"
USE_TZ = True
DEBUG = False  # or Django would keep each query
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
_url = url_of(SHOPS["django"].database)
DATABASES = {
    "default": {
        "ENGINE": chosen().engine,
        "NAME": _url.database,
        "USER": _url.username,
        "HOST": _url.host,
        "PORT": _url.port,
    }
}
_found = settings_in_account_file(os.environ["FIRE_ACCOUNT"])
MPESA = {"default": {**{name.upper(): value for name, value in _found.items()}, **ACCOUNT}}
MPESA["default"]["APPLY_CALLBACKS"] = os.environ["FIRE_APPLY_CALLBACKS"]
