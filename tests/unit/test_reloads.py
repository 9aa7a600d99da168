"""Reloads that are requested during a reload, and a reload that does not end."""

from __future__ import annotations

import threading

from exporter.errors import ConfigError
from exporter.reloads import Reloads
from tests.support.patience import PATIENCE_SECONDS


def nothing() -> None:
    """No look, and no word of a slow reload."""


class FakeReload:
    """A reload that ends when the test allows it; `error` is what it raises."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.calls = 0
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.calls += 1
        self.began.release()
        assert self.may_end.acquire(timeout=PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error


def test_those_asked_for_while_one_is_under_way_become_one_that_begins_after_it() -> None:
    """The file may have changed after the first one read it, so exactly one more is needed."""
    reload = FakeReload()
    reloads = Reloads(reload, nothing, nothing)
    reloads.start()
    first = reloads.ask()
    assert reload.began.acquire(timeout=PATIENCE_SECONDS)
    later = [reloads.ask() for _ in range(20)]
    assert len(set(later)) == 1
    assert later[0] is not first
    reload.may_end.release(2)
    assert later[0].result(PATIENCE_SECONDS) is None
    assert first.done()
    assert reload.calls == 2
    reloads.stop()


def test_what_went_wrong_is_the_result_and_the_next_one_is_done_all_the_same() -> None:
    reload = FakeReload()
    reloads = Reloads(reload, nothing, nothing)
    reloads.start()
    reload.error = ConfigError(["config.yml:1: wrong"])
    reload.may_end.release(2)
    assert reloads.ask().result(PATIENCE_SECONDS) is reload.error
    reload.error = None
    assert reloads.ask().result(PATIENCE_SECONDS) is None
    reloads.stop()


def test_one_that_takes_long_is_said_to() -> None:
    """The file may be on a mount that hangs: the log must say why nothing happens."""
    reload, said = FakeReload(), threading.Event()
    reloads = Reloads(reload, said.set, nothing, slow_seconds=0.0)
    reloads.start()
    outcome = reloads.ask()
    assert said.wait(PATIENCE_SECONDS)
    assert not outcome.done()
    reload.may_end.release()
    assert outcome.result(PATIENCE_SECONDS) is None
    reloads.stop()


def test_looks_go_on_while_reloads_are_asked_for_all_the_time() -> None:
    """As by a sidecar that tries a refused configuration again and again."""
    looked = threading.Event()

    def reload() -> None:
        if not looked.is_set():
            reloads.ask()

    reloads = Reloads(reload, nothing, looked.set, look_seconds=0.001)
    reloads.start()
    reloads.ask()
    assert looked.wait(PATIENCE_SECONDS)
    reloads.stop()


def test_looks_go_on_between_reloads_and_after_one_that_failed() -> None:
    """On the thread of the reloads, so that none of them meets a reload."""
    looks = threading.Semaphore(0)
    threads: set[int] = set()

    def look() -> None:
        threads.add(threading.get_ident())
        looks.release()
        raise OSError("no file descriptor left")

    def reload() -> None:
        threads.add(threading.get_ident())

    reloads = Reloads(reload, nothing, look, look_seconds=0.001)
    reloads.start()
    for _ in range(3):
        assert looks.acquire(timeout=PATIENCE_SECONDS)
    assert reloads.ask().result(PATIENCE_SECONDS) is None
    assert looks.acquire(timeout=PATIENCE_SECONDS)
    reloads.stop()
    assert len(threads) == 1


def test_the_configuration_is_followed_at_the_pace_that_each_look_says_and_after_one_that_failed() -> None:
    """First at once, on the thread of the reloads; what it asks for is done."""
    looks = threading.Semaphore(0)
    reloaded = threading.Event()
    threads: set[int] = set()

    def reload() -> None:
        threads.add(threading.get_ident())
        reloaded.set()

    def follow() -> float:
        threads.add(threading.get_ident())
        looks.release()
        if len(seconds) == 2:
            reloads.ask()
        if not seconds:
            return 3600.0
        if seconds.pop() < 0:
            raise OSError("no file descriptor left")
        return 0.001

    seconds = [0.0, -1.0, 0.0]
    reloads = Reloads(reload, nothing, nothing, look_seconds=0.001, follow=follow)
    reloads.start()
    for _ in range(4):
        assert looks.acquire(timeout=PATIENCE_SECONDS)
    assert reloaded.wait(PATIENCE_SECONDS)
    assert reloads.ask().result(PATIENCE_SECONDS) is None
    assert not looks.acquire(blocking=False)  # the last one said: in an hour
    reloads.stop()
    assert len(threads) == 1
