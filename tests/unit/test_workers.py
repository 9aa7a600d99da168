"""The worker threads: made on demand, warm for a while, none left behind."""

from __future__ import annotations

import threading

import pytest

from exporter.polling.workers import Workers
from tests.support.patience import PATIENCE_SECONDS

SOON = PATIENCE_SECONDS


def test_a_job_runs_on_a_thread_of_its_own() -> None:
    workers, ran = Workers(), threading.Event()
    names: list[str] = []

    def job() -> None:
        names.append(threading.current_thread().name)
        ran.set()

    workers.submit(job)
    assert ran.wait(SOON)
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
        assert done.wait(SOON)
        while not workers._idle:
            pass
    assert len(set(idents)) == 1
    assert workers.threads == 1
    workers.stop()


def test_jobs_that_block_do_not_keep_others_from_running() -> None:
    workers, release = Workers(), threading.Event()
    started = threading.Semaphore(0)

    def blocked() -> None:
        started.release()
        release.wait(SOON)

    for _ in range(30):
        workers.submit(blocked)
    for _ in range(30):
        assert started.acquire(timeout=SOON)
    assert workers.threads == 30
    release.set()
    workers.stop()


def test_threads_end_when_idle_for_long() -> None:
    workers = Workers(idle_seconds=0.0)
    workers.submit(lambda: None)
    for thread in list(workers._threads):
        thread.join(SOON)
    assert workers.threads == 0


def test_no_job_is_lost_when_a_thread_goes_idle_as_it_comes() -> None:
    workers = Workers(idle_seconds=0.0)
    ran = threading.Semaphore(0)
    for _ in range(2000):
        workers.submit(ran.release)
    for _ in range(2000):
        assert ran.acquire(timeout=SOON)
    workers.stop()


def test_a_stopped_pool_takes_no_job_and_ends_its_threads() -> None:
    workers, ran = Workers(), threading.Event()
    workers.submit(ran.set)
    assert ran.wait(SOON)
    threads = list(workers._threads)
    workers.stop()
    workers.submit(ran.clear)
    for thread in threads:
        thread.join(SOON)
    assert workers.threads == 0
    assert ran.is_set()


def test_a_thread_that_could_not_be_started_is_said_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Container runtimes bound the number of threads."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    workers = Workers()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            workers.submit(lambda: None)
    assert workers.threads == 0
    ran = threading.Event()
    workers.submit(ran.set)
    assert ran.wait(SOON)
    workers.stop()
