"""A small café in Flask that is paid by M-Pesa."""
