"""M-Pesa itself: what the gateway expects and answers. No web framework is imported here."""
