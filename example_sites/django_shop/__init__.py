"""A small shop in Django that is paid by M-Pesa."""
