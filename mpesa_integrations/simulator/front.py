"""What the gateway's front, a web firewall, makes of a request before M-Pesa sees it.

Seen in practice and not documented; docs/protocol.md, "Seen in practice".
"""

from __future__ import annotations

import re

_SCRIPTS = re.compile(
    r"(python|pycurl|curl|wget|libwww|lwp|perl|php|guzzlehttp|ruby|faraday|java|apache-httpclient"
    r"|okhttp|go-http-client|axios|node|node-fetch|undici|got|httpie|postmanruntime|insomnia)\b"
    r"|.*\b(aiohttp|httpx|urllib|requests)/",
    re.IGNORECASE,
)


def looks_like_a_script(user_agent: str | None) -> bool:
    """Whether a `User-Agent` header is missing, or is what an HTTP library sends by itself."""
    text = (user_agent or "").strip()
    return not text or _SCRIPTS.match(text) is not None
