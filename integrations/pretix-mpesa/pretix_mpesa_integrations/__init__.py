"""Vodacom M-Pesa as a payment method of pretix, over the records of `django_mpesa`."""

__version__ = "0.1.0"
