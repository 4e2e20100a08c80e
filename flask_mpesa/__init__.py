"""M-Pesa for Flask: payments, callbacks and signals, over the framework-free core.

mpesa = Mpesa(app)
payment = mpesa.c2b(msisdn="84 123 4567", amount="150.00", reference="ORDER 7")
"""

from .extension import Mpesa, current_mpesa

__all__ = ["Mpesa", "current_mpesa"]
