"""Settings of the shop; what differs between places where it runs comes from the environment."""

import json
import os
from pathlib import Path

from django.utils.translation import gettext_lazy as _

HERE = Path(__file__).parent
DIRECTORY = Path(os.environ["SHOP_DIRECTORY"])
"""Where the database and the certificate are kept."""
PORT = int(os.environ["SHOP_PORT"])
"""HTTPS; from 11000 to 19000, as the gateway calls no other port."""

SECRET_KEY = os.environ["SHOP_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "example_sites.django_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_mpesa",
    "example_sites.django_shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.i18n",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "example_sites.django_shop.cart.context",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / "shop.sqlite3",
        "OPTIONS": {"timeout": 20},
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("pt", _("Portuguese"))]
LOCALE_PATHS = [HERE / "locale"]
TIME_ZONE = "Africa/Maputo"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "static/"

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
LANGUAGE_COOKIE_SECURE = True

# The file that the local gateway writes. With an account of Vodacom's, these come from the portal.
_account = json.loads(Path(os.environ["MPESA_ACCOUNT_FILE"]).read_text())
_host, _, _port = _account["base_url"].removeprefix("https://").partition(":")
MPESA = {
    "default": {
        "API_KEY": _account["api_key"],
        "PUBLIC_KEY": _account["public_key"],
        "SERVICE_PROVIDER_CODE": _account["service_provider_code"],
        "INITIATOR_IDENTIFIER": _account["initiator_identifier"],
        "SECURITY_CREDENTIAL": _account["security_credential"],
        "ENVIRONMENT": "local",
        "HOST": _host,
        "PORT": int(_port),
        "VERIFY": _account["ca_file"],
        # A customer may take a minute with the PIN, and the page must come at once: see
        # docs/workers.md. The demo runs `mpesa_worker` beside the shop.
        "SEND": os.environ.get("SHOP_SEND", "now"),
        "CALLBACK_TOKEN": os.environ["MPESA_CALLBACK_TOKEN"],
        "CALLBACK_BASE_URL": f"https://127.0.0.1:{PORT}",
    }
}
# That no production gateway is used is what this example is about.
SILENCED_SYSTEM_CHECKS = ["mpesa.W004"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "shop: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {"example_sites": {"handlers": ["console"], "level": "INFO"}},
}
