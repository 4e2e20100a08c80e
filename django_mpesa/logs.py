"""What Django logs of a callback that never reached its view is kept from showing the token.

A middleware that refuses or raises, and a host that is not allowed, end a request before the view.
Django then logs its path, and its report to ADMINS shows the request.
"""

from __future__ import annotations

import logging
from typing import Any

from mpesa_integrations.core.redaction import HideSecretsInLog, without_secrets

_LOGGERS = (
    "django.request",
    "django.server",
    "django.security.csrf",
    "django.security.DisallowedHost",
    "django.security.RequestDataTooBig",
    "django.security.SuspiciousOperation",
)


class _HideTokens(HideSecretsInLog):
    def filter(self, record: logging.LogRecord) -> bool:
        request: Any = getattr(record, "request", None)
        if hasattr(request, "META"):
            request.path = without_secrets(request.path)
            request.path_info = without_secrets(request.path_info)
            for name, value in request.META.items():
                if isinstance(value, str):
                    request.META[name] = without_secrets(value)
        return super().filter(record)


_HIDE_TOKENS = _HideTokens()


def hide_tokens_in_log() -> None:
    """Have Django's loggers of requests hide callback tokens; once is enough."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HIDE_TOKENS)
