"""Answers that nobody reads make room for those that somebody may."""

from __future__ import annotations

import asyncio

from exporter.web.unread import Unread
from tests.support.clock import FakeClock


class FakeTransport(asyncio.Transport):
    """Notes that it was cut."""

    cut = False

    def abort(self) -> None:
        self.cut = True


def test_the_longest_unread_answer_is_given_up_first_and_only_once_it_had_its_time() -> None:
    clock = FakeClock()
    unread = Unread(1.0, clock.monotonic)
    first, second = FakeTransport(), FakeTransport()
    with unread.sending(first):
        clock.advance(0.6)
        with unread.sending(second):
            assert not unread.give_one_up()
            clock.advance(0.4)
            assert unread.give_one_up()
            assert (first.cut, second.cut) == (True, False)
            assert not unread.give_one_up()
            clock.advance(0.6)
            assert unread.give_one_up()
            assert second.cut


def test_what_has_been_read_is_not_given_up() -> None:
    clock = FakeClock()
    unread = Unread(1.0, clock.monotonic)
    transport = FakeTransport()
    with unread.sending(transport):
        clock.advance(5)
    with unread.sending(None):  # the client left before its answer was ready
        clock.advance(5)
        assert not unread.give_one_up()
    assert not transport.cut
