"""Calls on their own threads, and a call that does not end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exporter.config.strict_yaml import look_in_time
from exporter.threads import Bounded, StillRunningError, run_apart
from tests.support.patience import PATIENCE_SECONDS


class Look:
    """A look at a file that ends when the test allows it."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.began.release()
        assert self.may_end.acquire(timeout=PATIENCE_SECONDS)


def test_a_look_that_hangs_is_waited_for_once_and_no_other_is_begun_until_it_ends() -> None:
    look = Look()
    bounded = Bounded("look")
    for _ in range(10):
        with pytest.raises(StillRunningError):
            bounded.run(look, 0.0)
    assert look.began.acquire(timeout=PATIENCE_SECONDS)
    assert look.calls == 1
    look.may_end.release(2)
    while look.calls < 2:
        with contextlib.suppress(StillRunningError):
            bounded.run(look, PATIENCE_SECONDS)
    assert look.calls == 2


def test_a_look_that_ends_in_time_gives_its_result_or_its_error() -> None:
    assert Bounded("look").run(threading.current_thread, PATIENCE_SECONDS) is not threading.current_thread()

    def fail() -> None:
        raise TimeoutError("of the file itself")

    with pytest.raises(TimeoutError, match="of the file itself"):
        Bounded("look").run(fail, PATIENCE_SECONDS)


def test_what_a_call_returns_or_raises_comes_back() -> None:
    assert run_apart(threading.current_thread, "x").name == "x"
    with pytest.raises(ZeroDivisionError):
        run_apart(lambda: 1 / 0, "x")


def test_a_signal_ends_the_wait_for_a_call_and_the_process_ends_without_it() -> None:
    script = (
        "import os, signal, sys, threading, time; from exporter.threads import run_apart\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "run_apart(lambda: (os.kill(os.getpid(), signal.SIGTERM), threading.Event().wait()), 'x')"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=PATIENCE_SECONDS, check=False).returncode == 3


def test_a_look_at_a_file_that_does_not_end_is_a_fault_and_no_second_one_is_begun_in_that_folder() -> None:
    """A hundred keys in one hanging folder cost one wait, and a hundred reloads one thread."""
    look = Look()
    for _ in range(5):
        with pytest.raises(ValueError, match="its mount gives no answer"):
            look_in_time(Path("/hung/key"), look, seconds=0.0)
    assert look_in_time(Path("/well/key"), lambda: 7, PATIENCE_SECONDS) == 7
    assert look.calls <= 1
    look.may_end.release(2)
    while True:
        try:
            look_in_time(Path("/hung/other"), look, PATIENCE_SECONDS)
        except ValueError:
            continue
        break
    assert look.calls == 2
