"""Settings of the test project; MPESA_TEST_DATABASE chooses where it keeps its records."""

import os
import tempfile
from pathlib import Path

from mpesa_integrations.core.settings.client import settings_in_account_file
from tests.support import hasty_sqlite

hasty_sqlite.through_django()

_FILE = str(Path(tempfile.gettempdir()) / f"mpesa-test-{os.getpid()}.sqlite3")
_NAME = os.environ.get("MPESA_TEST_NAME", "test_mpesa")  # another for each checkout at work
SECRET_KEY = "only for tests"
DEBUG = True
# The default one takes a quarter of a second, so that nobody tries out many passwords.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = os.environ.get("MPESA_TEST_USE_TZ") != "0"
TIME_ZONE = "Africa/Maputo"
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
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
_DATABASES: dict[str, dict[str, object]] = {
    "postgresql": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "TEST": {"NAME": _NAME},
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "mpesa",
        "USER": "root",
        "HOST": "127.0.0.1",
        "TEST": {"NAME": _NAME, "CHARSET": "utf8mb4"},
    },
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        # A file, since threads on one in-memory database do not wait for each other.
        "NAME": _FILE,
        "OPTIONS": {"timeout": 20},
        "TEST": {"NAME": _FILE},
    },
}
DATABASES = {"default": _DATABASES[os.environ.get("MPESA_TEST_DATABASE", "sqlite")]}
MPESA: dict[str, dict[str, object]] = {
    "default": {
        "API_KEY": "aaaab09uz9f3asdcjyk7els777ihmwv8",
        "PUBLIC_KEY": Path(__file__).parents[1] / "data" / "documented_public_key.txt",
        "SERVICE_PROVIDER_CODE": "171717",
    }
}
if "MPESA_TEST_ACCOUNT" in os.environ:  # another process of a test, with its gateway
    _found = settings_in_account_file(os.environ["MPESA_TEST_ACCOUNT"])
    MPESA["default"] = {name.upper(): value for name, value in _found.items()}
MPESA_TRANSACTION_MODEL = "django_mpesa.Transaction"
