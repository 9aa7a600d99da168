"""Concurrent scrapes: equal ones share a rendering, and a scrape without a waiting client is not rendered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from exporter.web.connections.slow_clients import TRIAL_SECONDS, SlowClients
from exporter.web.handlers.metrics import Scrapes
from exporter.web.responses import Pieces
from tests.support.clock import FakeClock
from tests.support.webserver import FakeExposer

Scraping = Callable[[], AbstractContextManager[None]]
Scrape = Callable[[str], "asyncio.Task[web.Response]"]


def run_scrapes(
    exposer: FakeExposer,
    play: Callable[[Scrape], Awaitable[None]],
    slow_clients: SlowClients | None = None,
    *,
    scraping: Scraping = nullcontext,
    sending: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0),
) -> None:
    """Run `play` with a function that begins a scrape with a query string; each answer is sent by `sending`."""

    async def send(response: web.Response) -> web.Response:
        await sending()
        return response

    async def main() -> None:
        scrapes = Scrapes(exposer, 0, slow_clients or SlowClients(), scraping)
        scrapes.threads.start()
        try:
            await play(
                lambda query: asyncio.ensure_future(scrapes.serve(make_mocked_request("GET", f"/metrics{query}"), send))
            )
        finally:
            if exposer.gate is not None:
                exposer.gate.set()
            scrapes.threads.stop()

    asyncio.run(main())


async def settled() -> None:
    """Run every task until it waits for a thread."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_scrapes_that_ask_for_the_same_share_one_rendering() -> None:
    exposer = FakeExposer(gate=threading.Event())

    async def play(scrape: Scrape) -> None:
        tasks = [scrape("") for _ in range(40)]
        await settled()
        assert exposer.gate is not None
        exposer.gate.set()
        responses = await asyncio.gather(*tasks)
        assert {response.status for response in responses} == {200}
        assert len(exposer.calls) == 1
        await scrape("")
        assert len(exposer.calls) == 2

    run_scrapes(exposer, play)


def test_different_scrapes_are_rendered_separately() -> None:
    exposer = FakeExposer()

    async def play(scrape: Scrape) -> None:
        await asyncio.gather(*(scrape(query) for query in ("", "?name[]=a", "?name[]=b", "?name[]=a")))
        assert sorted(sorted(names) for _, _, names in exposer.calls) == [[], ["a"], ["b"]]

    run_scrapes(exposer, play)


def test_a_client_that_leaves_takes_nothing_from_those_that_stay() -> None:
    exposer = FakeExposer(gate=threading.Event())

    async def play(scrape: Scrape) -> None:
        first, second = scrape(""), scrape("")
        await settled()
        first.cancel()
        await settled()
        assert exposer.gate is not None
        exposer.gate.set()
        assert (await second).status == 200
        assert len(exposer.calls) == 1

    run_scrapes(exposer, play)


def test_what_all_have_left_before_its_turn_is_never_rendered() -> None:
    exposer = FakeExposer(gate=threading.Event())

    async def play(scrape: Scrape) -> None:
        holding, left = scrape(""), scrape("?name[]=left")
        await settled()
        left.cancel()
        await settled()
        assert exposer.gate is not None
        exposer.gate.set()
        await holding
        await scrape("?name[]=later")
        assert [sorted(names) for _, _, names in exposer.calls] == [[], ["later"]]

    run_scrapes(exposer, play)


def test_a_failure_reaches_all_that_share_it_and_no_later_one() -> None:
    exposer = FakeExposer(gate=threading.Event(), error=RuntimeError("broken"))

    async def play(scrape: Scrape) -> None:
        tasks = [scrape("") for _ in range(3)]
        await settled()
        assert exposer.gate is not None
        exposer.gate.set()
        assert [response.status for response in await asyncio.gather(*tasks)] == [500, 500, 500]
        exposer.error = None
        assert (await scrape("")).status == 200

    run_scrapes(exposer, play)


def test_while_memory_is_full_nothing_is_rendered_and_then_all_in_turn() -> None:
    """A waiting client holds no bytes: forty unread answers would fill the memory."""
    exposer = FakeExposer(body=b"x" * 100)
    clock = FakeClock()
    slow_clients = SlowClients(1.0, clock.monotonic, max_bytes=150)

    class Stalled(asyncio.Transport):
        def abort(self) -> None:
            pass

    async def play(scrape: Scrape) -> None:
        with slow_clients.sending(Stalled(), Pieces(bytes(100))), slow_clients.sending(Stalled(), Pieces(bytes(100))):
            waiting = [scrape(f"?name[]={index}") for index in range(5)]
            await settled()
            assert exposer.calls == []
            clock.advance(TRIAL_SECONDS)
            responses = await asyncio.gather(*waiting)
        assert {response.status for response in responses} == {200}
        assert len(exposer.calls) == 5

    run_scrapes(exposer, play, slow_clients)


@pytest.mark.parametrize("error", [None, RuntimeError("broken")])
def test_a_scrape_is_under_way_from_its_arrival_until_its_answer_is_written(error: Exception | None) -> None:
    """Polls wait for that long."""
    exposer = FakeExposer(error=error)
    seen: list[str] = []

    @contextmanager
    def scraping() -> Iterator[None]:
        seen.append(f"arrived, {len(exposer.calls)} rendered")
        yield
        seen.append("over")

    async def sending() -> None:
        seen.append(f"{len(exposer.calls)} rendered, to be written")
        await asyncio.sleep(0)
        seen.append("written")

    async def play(scrape: Scrape) -> None:
        await scrape("")

    run_scrapes(exposer, play, scraping=scraping, sending=sending)
    assert seen == ["arrived, 0 rendered", "1 rendered, to be written", "written", "over"]
