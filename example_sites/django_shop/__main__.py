"""The shop's manage.py: `python -m example_sites.django_shop serve`, and every Django command."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_sites.django_shop.settings")
    execute_from_command_line(sys.argv)
