"""A shop that takes its money with django-payments."""

from tests.django.settings import *  # noqa: F403
from tests.django.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [
    *_APPS,
    "payments",
    "django_mpesa.contrib.django_payments",
    "tests.django_payments.shop",
]
ROOT_URLCONF = "tests.django_payments.urls"
PAYMENT_HOST = "shop.example"
PAYMENT_MODEL = "shop.Payment"
PAYMENT_VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "mpesa": ("django_mpesa.contrib.django_payments.provider.MpesaProvider", {}),
}
