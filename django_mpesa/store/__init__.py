"""Core's store over the Django ORM, one module for each table."""

from .payments import DjangoStore

__all__ = ["DjangoStore"]
