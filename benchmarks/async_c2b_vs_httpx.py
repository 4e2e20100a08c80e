"""`await client.c2b()` against the same call by hand with httpx, alone and 100 at once.

The token is ready in both, and connections are kept. Ours also checks the arguments, makes a
reference and reads the answer. `…_vs_aiohttp` has the library that ours sends with, by hand.
ratio = ours / by hand.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx

from mpesa_integrations import AsyncMpesaClient, MpesaConfig

from .by_hand import headers, parameters, url
from .gateway import gateway
from .measure import Result, compare

TARGET = 1.0
_Call = Callable[[], Awaitable[object]]


def run(*, smoke: bool) -> Iterator[Result]:
    """Compare calls one by one, and then many at once, for which the gateway takes 50 ms each."""
    rounds, number = (2, 4) if smoke else (500, 100)
    with gateway() as config:
        yield from _compare(config, rounds=rounds, at_once=1)
    with gateway(delay=0.05) as config:
        yield from _compare(config, rounds=max(2, rounds // 50), at_once=number)


def _compare(config: MpesaConfig, *, rounds: int, at_once: int) -> Iterator[Result]:
    loop = asyncio.new_event_loop()
    address, own_headers = url(config), headers(config)
    context = ssl.create_default_context(cafile=str(config.verify))
    timeout = httpx.Timeout(config.timeout[1], connect=config.timeout[0])
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)

    async def opened() -> tuple[AsyncMpesaClient, httpx.AsyncClient, aiohttp.ClientSession]:
        return (
            AsyncMpesaClient(config),
            httpx.AsyncClient(verify=context, timeout=timeout, limits=limits),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)),
        )

    client, with_httpx, with_aiohttp = loop.run_until_complete(opened())

    async def ours() -> object:
        return await client.c2b(msisdn="258841234567", amount="150.00", reference="INVOICE 7")

    async def by_httpx() -> object:
        answer = await with_httpx.post(address, json=parameters(config), headers=own_headers)
        return answer.json()

    async def by_aiohttp() -> object:
        sent = with_aiohttp.post(address, json=parameters(config), headers=own_headers)
        async with sent as answer:
            return await answer.json()

    async def together(call: _Call) -> None:
        await asyncio.gather(*(call() for _ in range(at_once)))

    for other, name in ((by_httpx, "httpx"), (by_aiohttp, "aiohttp")):
        yield compare(
            f"async_c2b_vs_httpx.{name}_{at_once}",
            lambda: loop.run_until_complete(together(ours)),
            lambda call=other: loop.run_until_complete(together(call)),  # type: ignore[misc]
            rounds=rounds,
            calls=at_once,
            target=TARGET if name == "httpx" else None,
        )

    async def closed() -> None:
        await client.aclose()
        await with_httpx.aclose()
        await with_aiohttp.close()

    loop.run_until_complete(closed())
    loop.close()
