"""Where the project's URLconf has the callback endpoint, whatever it is included in."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.urls import (
    NoReverseMatch,
    Resolver404,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    get_urlconf,
    resolve,
    reverse,
)

from mpesa_integrations.core.errors import ConfigurationError
from mpesa_integrations.core.redaction import forgetful

from .views import callback


@forgetful
def callback_path(token: str | None) -> str:
    """The endpoint's path on the site, with its last slash; the first where there are several.

    MPESA_CALLBACK_URL_NAME names it where it is set, as in `plugins:shop:django_mpesa:callback`.

    Args:
        token: the account's callback token; None stands for one that is still to be set.

    Raises:
        ConfigurationError: the URLconf does not have it, or only below a prefix with variables.
    """
    token = token or "-"
    name = getattr(settings, "MPESA_CALLBACK_URL_NAME", None)
    if name is not None:
        try:
            return reverse(name, args=[token])
        except NoReverseMatch:
            # Django's own text has the token.
            raise _wrong(f"MPESA_CALLBACK_URL_NAME is {name!r}, which names no URL") from None
    for found in _names(get_resolver(get_urlconf()), ()):
        try:
            path = reverse(found, args=[token])
        except NoReverseMatch:
            continue
        if _is_ours(path):
            return path
    raise _wrong("the URLconf does not have it, or only below a prefix with variables")


def _names(resolver: URLResolver, namespaces: tuple[str, ...]) -> Iterator[str]:
    """The names, with their namespaces, under which a resolver has the view."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            inner = (pattern.namespace,) if pattern.namespace else ()
            yield from _names(pattern, namespaces + inner)
        elif isinstance(pattern, URLPattern) and pattern.callback is callback and pattern.name:
            yield ":".join((*namespaces, pattern.name))


def _is_ours(path: str) -> bool:
    """Whether a path leads to the view: another URL can have the name, too."""
    try:
        return resolve("/" + path.removeprefix(get_script_prefix())).func is callback
    except Resolver404:
        return False


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(what, setting="MPESA_CALLBACK_URL_NAME")
