"""Unread answers are dropped for other clients: places, and memory."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from exporter.web.connections.slow_clients import TRIAL_SECONDS, SlowClients
from exporter.web.responses import Pieces
from tests.support.clock import FakeClock


class FakeTransport(asyncio.Transport):
    """Records that it was disconnected."""

    cut = False

    def abort(self) -> None:
        self.cut = True


def body(size: int, taken: int = 0) -> Pieces:
    """An answer, with the number of bytes read so far."""
    pieces = Pieces(bytes(size))
    pieces.taken = taken
    return pieces


def test_the_longest_unread_answer_is_dropped_first_but_not_before_its_minimum_time() -> None:
    clock = FakeClock()
    slow_clients = SlowClients(1.0, clock.monotonic)
    first, second = FakeTransport(), FakeTransport()
    with slow_clients.sending(first):
        clock.advance(0.6)
        with slow_clients.sending(second):
            assert not slow_clients.give_one_up()
            clock.advance(0.4)
            assert slow_clients.give_one_up()
            assert (first.cut, second.cut) == (True, False)
            assert not slow_clients.give_one_up()
            clock.advance(0.6)
            assert slow_clients.give_one_up()
            assert second.cut


def test_an_answer_that_was_read_is_not_dropped() -> None:
    clock = FakeClock()
    slow_clients = SlowClients(1.0, clock.monotonic)
    transport = FakeTransport()
    with slow_clients.sending(transport):
        clock.advance(5)
    with slow_clients.sending(None):  # the client left before its answer was ready
        clock.advance(5)
        assert not slow_clients.give_one_up()
    assert not transport.cut


def test_a_source_with_most_places_loses_one_at_once_to_another_source_but_not_to_itself() -> None:
    """Otherwise a client that opens connections fast enough could block all others."""
    slow_clients = SlowClients(1.0, FakeClock().monotonic)
    mine, theirs = FakeTransport(), [FakeTransport() for _ in range(3)]
    with ExitStack() as stack:
        stack.enter_context(slow_clients.sending(mine, source="friend"))
        for transport in theirs:
            stack.enter_context(slow_clients.sending(transport, source="stranger"))
        assert not slow_clients.give_one_up("stranger")
        assert not slow_clients.give_one_up()
        assert slow_clients.give_one_up("friend")
        assert [transport.cut for transport in theirs] == [True, False, False]
        assert not slow_clients.give_one_up("friend")  # then it would have as many
        assert slow_clients.give_one_up("newcomer")
        assert not slow_clients.give_one_up("newcomer")
        assert not mine.cut


class TestMemory:
    """The bytes of all answers that are being sent are bounded."""

    def test_the_slowest_go_until_the_rest_fits_and_no_more(self) -> None:
        clock = FakeClock()
        slow_clients = SlowClients(1.0, clock.monotonic, max_bytes=250)
        never, fast, slow = FakeTransport(), FakeTransport(), FakeTransport()
        with ExitStack() as stack:
            for transport, taken in ((fast, 90), (never, 0), (slow, 10)):
                stack.enter_context(slow_clients.sending(transport, body(100, taken)))
            clock.advance(TRIAL_SECONDS)
            assert slow_clients.make_room([])
            assert (never.cut, slow.cut, fast.cut) == (True, False, False)
            assert slow_clients.make_room([bytes(100)])
            assert (slow.cut, fast.cut) == (True, False)

    def test_no_answer_is_dropped_before_its_speed_is_known(self) -> None:
        clock = FakeClock()
        slow_clients = SlowClients(1.0, clock.monotonic, max_bytes=150)
        first, second = FakeTransport(), FakeTransport()
        with slow_clients.sending(first, body(100)), slow_clients.sending(second, body(100)):
            assert not slow_clients.make_room([])
            assert (first.cut, second.cut) == (False, False)
            clock.advance(TRIAL_SECONDS)
            assert slow_clients.make_room([])
            assert (first.cut, second.cut) == (True, False)

    def test_what_several_read_counts_once(self) -> None:
        slow_clients = SlowClients(max_bytes=250)
        shared = bytes(200)
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(slow_clients.sending(FakeTransport(), Pieces(shared)))
            assert slow_clients.make_room([shared])
            assert not slow_clients.make_room([bytes(100)])

    def test_one_answer_may_be_larger_than_the_bound(self) -> None:
        clock = FakeClock()
        slow_clients = SlowClients(1.0, clock.monotonic, max_bytes=10)
        transport = FakeTransport()
        with slow_clients.sending(transport, body(100)):
            clock.advance(TRIAL_SECONDS)
            assert slow_clients.make_room([])
            assert not transport.cut
