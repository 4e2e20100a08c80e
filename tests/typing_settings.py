"""Settings for the type checker's Django plugin: the test project, with the shop's models."""

from tests.django.settings import *  # noqa: F403
from tests.django.settings import INSTALLED_APPS as _TEST_APPS

INSTALLED_APPS = [*_TEST_APPS, "example_sites.django_shop"]
