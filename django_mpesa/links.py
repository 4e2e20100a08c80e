"""The address at which a browser asks about a payment, wherever the URLconf has it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from django.urls import NoReverseMatch, URLResolver, get_resolver, get_urlconf, reverse

from mpesa_integrations.core.errors import ConfigurationError

_APP, _NAME = "django_mpesa", "status"


def status_path(token: str) -> str:
    """The status page's path on the site.

    Args:
        token: the payment's.

    Raises:
        ConfigurationError: the URLconf does not include `django_mpesa.urls`, or only below a prefix
            with variables.
    """
    resolver = get_resolver(get_urlconf())
    # One after the other: where the first leads to it, the URLconf is not looked through.
    for namespace in chain((_APP,), _namespaces(resolver, ())):
        try:
            return reverse(f"{namespace}:{_NAME}", args=[token])
        except NoReverseMatch:
            continue
    raise ConfigurationError(
        "the URLconf does not include django_mpesa.urls, or only below a prefix with variables",
        setting="ROOT_URLCONF",
    )


def _namespaces(resolver: URLResolver, outer: tuple[str, ...]) -> Iterator[str]:
    """The namespaces under which the app's URLs are included."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = (*outer, pattern.namespace) if pattern.namespace else outer
            if pattern.app_name == _APP:
                yield ":".join(inner)
            yield from _namespaces(pattern, inner)
