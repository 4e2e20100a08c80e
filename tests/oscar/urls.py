"""The shop's pages: Oscar's own."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

_OSCAR: Any = apps.get_app_config("oscar")
urlpatterns: list[Any] = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", include(_OSCAR.urls[0])),
]
