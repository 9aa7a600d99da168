"""Serves the pages for people, and the JSON twin of the status page.

They are rendered on a thread, a bounded number at a time.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from aiohttp import web

from exporter.logs import fields
from exporter.model import AccountStatus, ClusterStatus, NumberKey
from exporter.state.store import Details, Snapshot
from exporter.web.responses import TEXT, Send, answer, plain
from exporter.web.ui.document import JSON, bad_parameters, numbers_json
from exporter.web.ui.filters import FORMAT, MAX_CHARACTERS, Fault, Query
from exporter.web.ui.listing import find
from exporter.web.ui.views import (
    LandingInfo,
    Page,
    Site,
    landing_page,
    missing_page,
    number_page,
    numbers_page,
    refresh_header,
)
from exporter.web.worker_thread import WorkerThreads

logger = logging.getLogger(__name__)

THREADS = 1
"""Rendering holds the interpreter's lock, so more threads make no page faster, but delay scrapes."""

MAX_PAGES = 16
"""Pages that wait, are rendered, or are not read yet; more get 503."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Fleet(Protocol):
    """The data of the pages; called on any thread."""

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        """All numbers and accounts, of one configuration."""

    def config_yaml(self) -> bytes:
        """The configuration in force, without secrets."""

    def details(self, key: NumberKey) -> Details | None:
        """One number with its last polls; None if it is not configured."""

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        """When numbers are polled next, in Unix seconds; None while one is being polled, infinity for never."""

    def cluster(self) -> ClusterStatus | None:
        """How the cluster of replicas looks from here; None without one."""


class Pages:
    """Serves the landing page, and pages about the numbers of `fleet`, on `threads`."""

    def __init__(self, info: LandingInfo, telemetry_path: str, fleet: Fleet) -> None:
        self._site = Site(info, telemetry_path)
        self._fleet = fleet
        self._under_way = 0
        self.threads = WorkerThreads(THREADS, "page")

    async def serve_landing(self, request: web.BaseRequest, send: Send) -> web.Response:
        """The page at ``/``."""
        return await self._serve(request, send, functools.partial(landing_page, self._site))

    async def serve_config(self, request: web.BaseRequest, send: Send) -> web.Response:
        """The configuration in force, as text."""
        return await self._serve(request, send, lambda: Page(self._fleet.config_yaml(), {}, content_type=TEXT))

    async def serve_numbers(self, request: web.BaseRequest, send: Send) -> web.Response:
        """The status page, or its JSON twin."""
        query = Query.of(request.query)
        asked = request.query.get(FORMAT, "")
        if not asked:
            again = refresh_header(query.refresh_seconds)
            return await self._serve(request, send, functools.partial(self._listed, numbers_page, query), again)
        known = () if asked == JSON else (Fault(FORMAT, asked[:MAX_CHARACTERS], f"write {JSON}, or leave it out"),)
        if faults := (*known, *query.faults):
            return await self._serve(request, send, functools.partial(bad_parameters, faults))
        return await self._serve(request, send, functools.partial(self._listed, numbers_json, query))

    async def serve_number(self, request: web.BaseRequest, send: Send) -> web.Response:
        """One number's page."""
        account, space, label = (request.query.get(name, "") for name in ("account", "space", "number"))
        refresh = Query.of(request.query).refresh_seconds
        render = functools.partial(self._number, account, space, label, refresh)
        return await self._serve(request, send, render, refresh_header(refresh))

    async def _serve(
        self, request: web.BaseRequest, send: Send, render: Callable[[], Page], again: Mapping[str, str] = NOTHING
    ) -> web.Response:
        """`again` are the headers that make a browser ask again, also after a failure."""
        if self._under_way >= MAX_PAGES:
            return await send(plain(503, "too many pages are being served", {"Retry-After": "2", **again}))
        self._under_way += 1
        try:
            try:
                page = await self.threads.run(render)
            except Exception:  # the client gets 500, the log has the reason
                logger.exception("page failed", extra=fields(path=request.path))
                return await send(plain(500, "the page failed; the exporter's log says why", again))
            return await send(answer(page.status, page.html, page.content_type, page.headers))
        finally:
            self._under_way -= 1

    def _listed(self, make: Callable[..., Page], query: Query) -> Page:
        fleet = self._fleet
        return make(self._site, query, fleet.view(), fleet.next_polls, time.time(), fleet.cluster())

    def _number(self, account: str, space: str, label: str, refresh: int) -> Page:
        fleet = self._fleet
        snapshot, accounts = fleet.view()
        found = find(snapshot, account, space, label)
        details = fleet.details(found.number.key) if found is not None else None
        if details is None:
            return missing_page(self._site)
        key = details.record.number.key
        return number_page(
            self._site,
            details,
            snapshot,
            next((one for one in accounts if one.account == account), None),
            fleet.next_polls([key]).get(key),
            time.time(),
            refresh,
        )
