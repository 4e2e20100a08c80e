"""`python -m example_sites.fastapi_shop serve`, and the other commands."""

from .shop import commands

commands()
