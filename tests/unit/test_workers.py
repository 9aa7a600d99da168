"""The worker threads: made on demand, kept for some time, all ended."""

from __future__ import annotations

import threading

import pytest

from exporter.polling.workers import Workers
from tests.support.patience import PATIENCE_SECONDS


def threads_of(workers: Workers, count: int) -> set[threading.Thread]:
    """The threads that run `count` jobs at the same time."""
    threads: set[threading.Thread] = set()
    together = threading.Barrier(count)
    seen = threading.Semaphore(0)

    def job() -> None:
        together.wait(PATIENCE_SECONDS)
        threads.add(threading.current_thread())
        seen.release()

    for _ in range(count):
        workers.submit(job)
    for _ in range(count):
        assert seen.acquire(timeout=PATIENCE_SECONDS)
    return threads


def test_a_job_runs_on_a_thread_of_its_own() -> None:
    workers, ran = Workers(), threading.Event()
    names: list[str] = []

    def job() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    workers.submit(job)
    assert ran.wait(PATIENCE_SECONDS)
    assert names[0].startswith("poll-")
    workers.stop()


def test_an_idle_thread_is_used_again() -> None:
    workers = Workers()
    idents: list[int] = []
    for _ in range(20):
        done = threading.Event()

        def job(done: threading.Event = done) -> None:
            idents.append(threading.get_ident())
            done.set()

        workers.submit(job)
        assert done.wait(PATIENCE_SECONDS)
        while not workers._idle:
            pass
    assert len(set(idents)) == 1
    workers.stop()


def test_jobs_that_block_do_not_keep_others_from_running() -> None:
    workers, release = Workers(), threading.Event()
    started = threading.Semaphore(0)
    threads: set[threading.Thread] = set()

    def blocked() -> None:
        threads.add(threading.current_thread())
        started.release()
        release.wait(PATIENCE_SECONDS)

    for _ in range(30):
        workers.submit(blocked)
    for _ in range(30):
        assert started.acquire(timeout=PATIENCE_SECONDS)
    assert len(threads) == 30
    release.set()
    workers.stop()


def test_threads_end_when_idle_for_long() -> None:
    workers = Workers(idle_seconds=0.0)
    (thread,) = threads_of(workers, 1)
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_the_thread_that_became_idle_last_is_used_first() -> None:
    """So that the threads that a burst needed are idle for long, and end."""
    workers = Workers()
    threads_of(workers, 3)
    while len(workers._idle) < 3:
        pass
    last = workers._idle[-1]
    (thread,) = threads_of(workers, 1)
    while len(workers._idle) < 3:
        pass
    assert workers._idle[-1] is last
    assert threads_of(workers, 1) == {thread}
    workers.stop()


def test_no_job_is_lost_when_a_thread_goes_idle_as_it_comes() -> None:
    workers = Workers(idle_seconds=0.0)
    ran = threading.Semaphore(0)
    for _ in range(2000):
        workers.submit(ran.release)
    for _ in range(2000):
        assert ran.acquire(timeout=PATIENCE_SECONDS)
    workers.stop()


def test_a_stopped_pool_takes_no_job_and_ends_its_threads() -> None:
    workers, ran = Workers(), threading.Event()
    workers.submit(ran.set)
    assert ran.wait(PATIENCE_SECONDS)
    threads = threads_of(workers, 3)
    workers.stop()
    workers.submit(ran.clear)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert ran.is_set()


def test_a_thread_that_could_not_be_started_is_said_and_its_place_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Container runtimes bound the number of threads."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(OSError, match="no thread can be started"):
            workers.submit(lambda: None)
    ran = threading.Event()
    workers.submit(ran.set)
    assert ran.wait(PATIENCE_SECONDS)
    workers.stop()
