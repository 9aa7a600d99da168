"""Serves scrapes: a bounded number at once, rendered off the event loop, in the format and encoding asked for.

Scrapes that ask for the same while one is rendered get its bytes.  So two replicas of Prometheus, or forty clients that
attack, cost one rendering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

from aiohttp import web

from exporter.logs import fields
from exporter.metrics.exposition import Format
from exporter.web.connections.slow_clients import SlowClients
from exporter.web.handlers.negotiation import accepts_gzip, negotiate_format
from exporter.web.responses import Pieces, Send, answer, plain
from exporter.web.security.access_control import network_of
from exporter.web.sharing import Shared
from exporter.web.worker_thread import WorkerThreads

logger = logging.getLogger(__name__)

THREADS = 1
"""The interpreter runs one thread at a time: more threads make no scrape faster, and delay the probes."""

RETRY_SECONDS = 0.02
"""How often to look whether there is room in memory for one more answer."""

_Asked = tuple[Format, bool, frozenset[str]]


Scraping = Callable[[], AbstractContextManager[None]]
"""Entered when a scrape arrives, left when its answer is written."""


class Exposer(Protocol):
    """Where a scrape comes from."""

    def scrape(self, fmt: Format, *, gzip: bool, names: frozenset[str]) -> bytes:
        """The exposition, of the families in `names` only unless that is empty.  May block; called on any thread."""


class Scrapes:
    """Serves at most `limit` scrapes at once (0: any number), on `threads`.

    A scrape counts until its answer is read: until then the answer takes memory.  `slow_clients` knows these answers.
    """

    def __init__(self, exposer: Exposer, limit: int, slow_clients: SlowClients, scraping: Scraping) -> None:
        self._exposer = exposer
        self._limit = limit
        self._scraping = scraping
        self._slow_clients = slow_clients
        self._under_way = 0
        self._renderings: Shared[_Asked, bytes] = Shared()
        self._turn = asyncio.Lock()
        self.threads = WorkerThreads(THREADS, "scrape")

    async def serve(self, request: web.BaseRequest, send: Send) -> web.Response:
        """One scrape, sent by `send`."""
        source = network_of(request.remote)
        if 0 < self._limit <= self._under_way and not self._slow_clients.give_one_up(source):
            text = f"{self._under_way} scrapes are being served already, the limit that --web.max-requests sets"
            return await send(plain(503, text))
        self._under_way += 1
        try:
            with self._scraping():
                response, pieces = await self._render(request)
                with self._slow_clients.sending(request.transport, pieces, source):
                    return await send(response)
        finally:
            self._under_way -= 1

    async def _render(self, request: web.BaseRequest) -> tuple[web.Response, Pieces | None]:
        fmt, content_type = negotiate_format(",".join(request.headers.getall("Accept", ())))
        gzip = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", ())))
        names = frozenset(request.query.getall("name[]", ()))
        try:
            call = partial(self._exposer.scrape, fmt, gzip=gzip, names=names)
            body = await self._renderings.run((fmt, gzip, names), lambda: self._in_turn(call))
        except Exception:  # whatever the exposer raises: the client is told that it failed, the log says why
            logger.exception("scrape failed", extra=fields(path=request.path))
            return plain(500, "the scrape failed; the exporter's log says why"), None
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        pieces = Pieces(body)
        return answer(200, pieces, content_type, headers), pieces

    async def _in_turn(self, call: Callable[[], bytes]) -> bytes:
        """The bytes that `call` renders, as soon as there is room for them; a scrape that waits takes no memory."""
        async with self._turn:
            while not self._slow_clients.make_room(self._renderings.results()):  # noqa: ASYNC110 - time changes it
                await asyncio.sleep(RETRY_SECONDS)
            return await self.threads.run(call)
