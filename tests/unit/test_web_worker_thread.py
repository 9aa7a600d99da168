"""The threads for blocking calls, outside the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest

from exporter.web.worker_thread import WorkerThreads
from tests.support.patience import PATIENCE_SECONDS


def with_workers(threads: int, work: Callable[[WorkerThreads], Awaitable[None]]) -> None:
    """Run `work` in an event loop, with `threads` worker threads."""

    async def main() -> None:
        workers = WorkerThreads(threads, "test")
        workers.start()
        try:
            await work(workers)
        finally:
            workers.stop()

    asyncio.run(main())


def test_a_call_runs_on_a_thread_of_the_pool_and_its_result_comes_back() -> None:
    async def work(workers: WorkerThreads) -> None:
        assert await workers.run(lambda: threading.current_thread().name) == "test-1"

    with_workers(1, work)


def test_what_a_call_raises_comes_back_and_the_thread_lives_on() -> None:
    def fail() -> None:
        raise KeyError("gone")

    async def work(workers: WorkerThreads) -> None:
        with pytest.raises(KeyError, match="gone"):
            await workers.run(fail)
        assert await workers.run(lambda: 1) == 1

    with_workers(1, work)


def test_the_event_loop_turns_while_calls_block() -> None:
    async def work(workers: WorkerThreads) -> None:
        both = threading.Barrier(3)

        def meet() -> None:
            both.wait(PATIENCE_SECONDS)

        blocked = [asyncio.ensure_future(workers.run(meet)) for _ in range(2)]
        while both.n_waiting < 2:  # noqa: ASYNC110 - a barrier has no event to await
            await asyncio.sleep(0)
        await asyncio.to_thread(both.wait, PATIENCE_SECONDS)
        await asyncio.gather(*blocked)

    with_workers(2, work)


def test_a_call_whose_caller_gave_up_before_its_turn_is_not_run() -> None:
    """A client that sends requests and disconnects must not cause growing work."""

    async def work(workers: WorkerThreads) -> None:
        gate = threading.Event()
        ran: list[str] = []
        first = asyncio.ensure_future(workers.run(lambda: gate.wait(PATIENCE_SECONDS)))
        second = asyncio.ensure_future(workers.run(lambda: ran.append("second")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        gate.set()
        await first
        await workers.run(lambda: ran.append("third"))
        assert ran == ["third"]

    with_workers(1, work)


def test_calls_in_different_names_take_turns() -> None:
    async def work(workers: WorkerThreads) -> None:
        gate = threading.Event()
        ran: list[str] = []
        first = asyncio.ensure_future(workers.run(lambda: gate.wait(PATIENCE_SECONDS), "many"))
        calls = [asyncio.ensure_future(workers.run(lambda: ran.append("many"), "many")) for _ in range(50)]
        calls += [asyncio.ensure_future(workers.run(lambda: ran.append("few"), "few")) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *calls)
        assert ran[:4] in (["many", "few"] * 2, ["few", "many"] * 2)
        assert ran[4:] == ["many"] * 48

    with_workers(1, work)


def test_a_call_that_never_ends_does_not_keep_the_process_alive() -> None:
    program = (
        "import asyncio, threading\n"
        "from exporter.web.worker_thread import WorkerThreads\n"
        "workers = WorkerThreads(1, 'test')\n"
        "workers.start()\n"
        "running = threading.Event()\n"
        "def hang():\n"
        "    running.set()\n"
        "    threading.Event().wait()\n"
        "async def main():\n"
        "    call = asyncio.ensure_future(workers.run(hang))\n"
        "    await asyncio.to_thread(running.wait)\n"
        "    call.cancel()\n"
        "asyncio.run(main())\n"
        "workers.stop()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], timeout=PATIENCE_SECONDS, check=False, capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr) == (0, "")
