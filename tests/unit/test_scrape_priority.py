"""Polls that wait while a scrape is served, in virtual time."""

from __future__ import annotations

import contextlib

import pytest

from exporter.scrape_priority import EARNED_PER_SECOND, MAX_WAIT_SECONDS, ScrapePriority
from tests.support.virtualtime import VirtualTime


class Played:
    """Scrapes and polls; `went` holds when each poll went on, in seconds since the start."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.start = self.time.now
        self.priority = ScrapePriority(self.time, self.time.wait)
        self.went: list[float] = []

    def scrape(self, at: float, seconds: float, *, fails: bool = False) -> None:
        def serve() -> None:
            self.time.sleep(at)
            with contextlib.suppress(ConnectionError), self.priority.scrape():
                self.time.sleep(seconds)
                if fails:
                    raise ConnectionError

        self.time.spawn(serve)

    def poll(self, at: float) -> None:
        def go() -> None:
            self.time.sleep(at)
            self.priority.wait()
            self.went.append(self.time.now - self.start)

        self.time.spawn(go)

    def run(self) -> list[float]:
        self.time.run_until(self.start + 1000.0, lambda: None)
        assert self.time.failures == []
        assert self.time.alive == 0
        return self.went


@pytest.mark.parametrize("fails", [False, True])
def test_polls_wait_for_the_end_of_a_scrape_however_it_ends(fails: bool) -> None:
    played = Played()
    played.scrape(1.0, 0.1, fails=fails)
    for at in (0.5, 1.02, 1.05, 1.2):
        played.poll(at)
    assert played.run() == pytest.approx([0.5, 1.1, 1.1, 1.2])


def test_polls_wait_for_the_last_of_scrapes_that_overlap() -> None:
    played = Played()
    played.scrape(1.0, 0.1)
    played.scrape(1.05, 0.1)
    played.poll(1.01)
    assert played.run() == pytest.approx([1.15])


def test_polls_do_not_wait_longer_for_a_client_that_does_not_read() -> None:
    played = Played()
    played.scrape(1.0, 30.0)
    for at in (1.01, 2.0, 20.0):
        played.poll(at)
    assert played.run() == pytest.approx([1.0 + MAX_WAIT_SECONDS, 2.0, 20.0])


def test_scrapes_that_overlap_without_end_hold_polls_back_no_longer_than_one() -> None:
    played = Played()
    for index in range(100):
        played.scrape(1.0 + 0.05 * index, 0.1)
    played.poll(1.01)
    assert played.run() == pytest.approx([1.0 + MAX_WAIT_SECONDS])


def test_after_a_wait_the_next_one_may_be_as_long_as_the_time_since_has_earned() -> None:
    played = Played()
    played.scrape(1.0, MAX_WAIT_SECONDS)
    free_seconds = 0.1
    played.scrape(1.0 + MAX_WAIT_SECONDS + free_seconds, 1.0)
    played.poll(1.36)
    assert played.run() == pytest.approx([1.0 + MAX_WAIT_SECONDS + free_seconds * (1 + EARNED_PER_SECOND)])


def test_a_scrape_is_waited_for_in_full_again_while_another_client_still_does_not_read() -> None:
    played = Played()
    played.scrape(1.0, 30.0)
    played.scrape(11.0, 0.1)
    played.poll(11.01)
    assert played.run() == pytest.approx([11.0 + MAX_WAIT_SECONDS])
