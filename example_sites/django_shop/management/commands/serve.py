"""`serve`: the shop over HTTPS, its database brought up to date first."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth.models import User
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.core.wsgi import get_wsgi_application

from example_sites.django_shop import settings
from example_sites.https_server import serve


class Command(BaseCommand):
    help = "Serve the shop over HTTPS until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        settings.DIRECTORY.mkdir(parents=True, exist_ok=True)
        call_command("migrate", verbosity=0)
        self._make_admin()
        # A real site's static files are its web server's; an example has none.
        application = StaticFilesHandler(get_wsgi_application())
        serve(application, settings.PORT, settings.DIRECTORY)

    def _make_admin(self) -> None:
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if password:
            rights = {"is_staff": True, "is_superuser": True}
            admin, _ = User.objects.get_or_create(username="admin", defaults=rights)
            admin.set_password(password)
            admin.save()
