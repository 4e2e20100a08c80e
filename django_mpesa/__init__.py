"""M-Pesa for Django: recorded payments, callbacks, signals and admin, over the framework-free core.

from django_mpesa import mpesa

transaction = mpesa.c2b(msisdn="84 123 4567", amount="150.00", reference="ORDER 7")
"""

from .accounts import mpesa

__all__ = ["mpesa"]
