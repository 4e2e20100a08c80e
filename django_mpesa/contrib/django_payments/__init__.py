"""M-Pesa for django-payments: a variant of its payments, in PAYMENT_VARIANTS.

INSTALLED_APPS += ["payments", "django_mpesa", "django_mpesa.contrib.django_payments"]
PAYMENT_VARIANTS = {
    "mpesa": ("django_mpesa.contrib.django_payments.provider.MpesaProvider", {}),
}
"""
