"""Django's own tasks, which came with Django 6; what puts them on a queue is in `background`."""

from __future__ import annotations

from django.tasks import task

from .accounts import mpesa


@task()
def apply_callbacks(alias: str) -> None:
    """Decide an account's stored callbacks."""
    while mpesa[alias].apply_callbacks(100) == 100:
        pass


@task()
def send_queued(alias: str, third_party_reference: str) -> None:
    """Send one queued payment, and wait for its customer."""
    mpesa[alias].send_queued(third_party_reference)
