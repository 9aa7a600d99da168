"""A poller whose account other replicas may hold: it sends only while it has the right, and goes on where they were."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.errors import ApiError, Kind
from exporter.model import (
    ALWAYS,
    NEVER,
    OPERATION,
    Answer,
    Health,
    NumberKey,
    OperationStatus,
    Pace,
    PhoneNumber,
    Refused,
    Right,
    Slot,
    Throttled,
)
from exporter.polling.standing import Standing
from exporter.state.records import LastError, NumberState
from tests.support.asked import HEALTH, NUMBERS, Asked, FakeFleet, Sent
from tests.support.numbers import numbers
from tests.support.played import FORBIDDEN, REVOKED, Played

FORBIDDEN_REASON = Refused(FORBIDDEN.code, FORBIDDEN.message, FORBIDDEN.request_id)


class Bench(Played):
    """A poller in virtual time; another replica holds its account."""

    def __init__(self, count: int = 30, *, qps: float = 5.0, interval: float = 60.0, is_alone: bool = False) -> None:
        super().__init__(numbers(count), interval, qps)
        if not is_alone:
            self.poller.allow(NEVER)
            self.run(1.0)  # the first look at the credential is over
        self.start = self.now

    def sends(self, seconds: float) -> list[float]:
        """When requests leave in the next seconds, since the start."""
        return [at - self.start for at, _ in self.run(seconds)]


@pytest.fixture
def made() -> Bench:
    return Bench()


def right(made: Bench, *, seconds: float = math.inf, after: float = 0.0, token: int = 1, **more: float) -> Right:
    now = made.now
    return Right(token, now + after, now + seconds, **more)


def test_without_the_right_nothing_leaves(made: Bench) -> None:
    assert made.sends(120) == []
    assert made.poller.status().in_flight == 0


def test_nothing_leaves_before_the_right_begins_nor_after_it_ended(made: Bench) -> None:
    made.poller.allow(right(made, after=2.0, seconds=4.0))
    sent = made.sends(30)
    assert sent[0] == 2.0
    assert 3.5 < sent[-1] < 4.0


def test_a_poll_that_waits_when_the_right_ends_goes_when_it_comes_back(made: Bench) -> None:
    made.poller.allow(right(made, seconds=1.0))
    made.sends(10)
    made.poller.allow(replace(right(made), from_at=made.start))
    assert made.sends(1)[0] == 10.0


def test_a_right_that_is_renewed_in_time_changes_nothing(made: Bench) -> None:
    alone = Bench(is_alone=True)
    sent = []
    for _ in range(90):
        made.poller.allow(right(made, seconds=3.0))
        sent += made.run(1.0)
    assert len(sent) >= 45
    assert abs(len(alone.run(90)) - len(sent)) <= 1


def test_polls_that_wait_are_turned_back_when_the_right_is_taken_away(made: Bench) -> None:
    made.poller.allow(right(made))
    made.sends(1)
    assert made.time.alive > 1
    made.poller.allow(NEVER)
    assert made.sends(30) == []
    assert made.time.alive == 1  # the loop's: no poll waits for the right to come back


@pytest.mark.parametrize(("stall_seconds", "has_left"), [(0.2, True), (0.5, False)])
def test_the_right_is_gone_only_when_the_last_request_has_left(stall_seconds: float, has_left: bool) -> None:
    """What is passed on, and who polls next, count from then; from now where it takes too long to leave."""

    class Slow(Bench):
        def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
            with gate():
                self.time.sleep(stall_seconds)  # the thread stalls before it sends
                self.sent.append((self.now, number.key))
            return Answer("VERIFIED", "1", "R")

    made = Slow()
    made.poller.allow(right(made))
    made.run(0.1)
    passed_on: list[tuple[float, Pace]] = []

    def take_away() -> None:
        made.poller.allow(NEVER)
        passed_on.append((made.now, made.poller.pace()))

    made.time.spawn(take_away)
    made.run(10)
    ((at, pace),) = passed_on
    ((sent_at, _),) = made.sent
    assert (sent_at == at) is has_left
    assert (sent_at > at) is not has_left
    assert pace.slot_age_seconds == pytest.approx(0.0, abs=0.001)


def test_the_first_slot_keeps_its_distance_from_the_last_one_of_the_holder_before() -> None:
    made = Bench(qps=1)
    made.poller.allow(right(made, slot_at=made.now + 0.2))
    first, second = made.sends(2.5)
    assert 1.2 < first < 1.21
    assert second - first > 1.0


def test_the_guard_of_the_holder_before_is_taken_over() -> None:
    made = Bench(qps=10)
    made.poller.allow(right(made, guard_seconds=0.25))
    assert 7.9 < made.poller.status().effective_qps < 8.1
    assert 0.24 < made.poller.pace().guard_seconds <= 0.25


def test_what_is_passed_on_says_when_the_last_request_left_and_what_remains_of_a_pause() -> None:
    made = Bench(1)
    made.answer = lambda _: ApiError("Throttling.User", Kind.THROTTLE, retry_after_seconds=30.0)
    assert made.poller.pace().slot_age_seconds is None
    made.poller.allow(right(made))
    made.sends(5)
    made.poller.allow(NEVER)
    pace = made.poller.pace()
    assert 4.5 < (pace.slot_age_seconds or 0) <= 5.0
    assert 24.5 < pace.pause_seconds <= 25.5


def test_a_new_holder_waits_for_the_pause_and_climbs_back_from_the_rate_of_the_one_before() -> None:
    made = Bench(200)
    throttled = Throttled(made.now + 20.0, 2.5, made.now + 20.0)
    made.poller.allow(right(made), replace(made.poller.status(), throttled=throttled))
    assert made.poller.status().throttled == throttled
    assert made.sends(19.9) == []
    assert 24 <= len(made.sends(10)) <= 28
    made.run(60)
    assert made.poller.status().throttled == Throttled(throttled.until)
    assert 45 <= len(made.sends(10)) <= 50


def test_numbers_that_the_holder_before_polled_wait_for_their_turn(made: Bench) -> None:
    """Else each hand-over would cost a pass."""
    polled(made, {number.key: 1.0 for number in made.numbers[:20]})
    made.poller.allow(right(made))
    first = [key for _, key in made.run(2.3)]
    assert set(first) >= {number.key for number in made.numbers[20:]}
    assert len(first) <= 12
    made.run(90)  # its turn comes half an interval after a poll, or later
    assert {key for _, key in made.sent} == {number.key for number in made.numbers}
    assert made.poller.status().lag_seconds < 1
    assert made.poller.unattempted() == 0


def test_a_number_that_another_replica_polled_is_not_overdue(made: Bench) -> None:
    made.run(600)
    polled(made, {number.key: 1.0 for number in made.numbers})
    made.poller.allow(right(made, after=1.0))
    assert made.poller.status().lag_seconds == 0


@pytest.mark.parametrize("has_status", [False, True])
def test_numbers_that_failed_at_the_holder_before_are_not_retried_all_at_once(has_status: bool) -> None:
    """Its retries are over: a number without a status is asked again a minute later, another one at its turn."""
    made = Bench(interval=600.0)
    made.answer = lambda _: ApiError("timeout", Kind.TRANSIENT)
    if has_status:
        made.state.take_over([NumberState(number, "VERIFIED", success_at=made.now) for number in made.numbers])
    ages = {number.key: float(index) for index, number in enumerate(made.numbers)}
    polled(made, ages, "timeout")
    made.poller.allow(right(made))
    assert made.sends(30.5) == []
    again = [key for _, key in made.run(30.5)]
    assert again == ([] if has_status else [number.key for number in reversed(made.numbers)])
    made.run(540)  # all are asked within an interval of their last poll, or soon after
    assert {key for _, key in made.sent} == ages.keys()
    assert made.poller.status().lag_seconds < 1


def polled(made: Played | Asked, ages: Mapping[NumberKey, float], code: str = "") -> None:
    """Another replica polled these numbers so many seconds ago; with a `code` they failed."""
    now_unix = made.time.unix()
    for number in made.numbers:
        if number.key in ages:
            at = now_unix - ages[number.key]
            error = LastError(code, "", None, "", at) if code else None
            made.state.take_over([NumberState(number, last_poll_success=not code, last_poll_unix=at, last_error=error)])


def test_what_the_api_refuses_stays_refused_over_a_hand_over() -> None:
    """An alert must neither resolve nor fire because another replica polls."""
    made = Bench(4)
    made.answer = lambda _: FORBIDDEN
    status = made.poller.status()
    status = replace(
        status,
        refused=FORBIDDEN_REASON,
        refused_spaces=dict.fromkeys(status.spaces, FORBIDDEN_REASON),
        operations=(OperationStatus(OPERATION, up=False, refused=FORBIDDEN_REASON),),
    )
    made.poller.allow(right(made), status)
    for seconds, probes in ((55, 0), (10, 1)):  # the holder before has just sent one
        assert len(made.sends(seconds)) == probes
        after = made.poller.status()
        assert (after.up, dict(after.refused_spaces)) == (False, dict(status.refused_spaces))
        assert after.operations == status.operations


def test_an_account_that_is_refused_as_a_whole_is_probed_by_the_next_holder() -> None:
    made = Bench(4)
    refused = replace(made.poller.status(), refused=Refused("InvalidAccessKeyId.NotFound", "no"))
    made.poller.allow(right(made), refused)
    assert not made.poller.status().up
    assert made.sends(55) == []
    made.run(10)
    assert made.poller.status().up


@pytest.mark.parametrize("scope", ["account", "spaces"])
def test_probes_go_on_at_the_distance_of_the_holder_before(scope: str) -> None:
    """Its last one was 50 seconds ago: the next comes after an interval, neither at once nor an interval later."""
    made = Bench(4)
    error = REVOKED if scope == "account" else FORBIDDEN
    made.answer = lambda _: error
    reason = Refused(error.code)
    spaces = {} if scope == "account" else dict.fromkeys(made.poller.status().spaces, reason)
    refused = replace(made.poller.status(), refused=reason, refused_spaces=spaces)
    ages = dict(zip((number.key for number in made.numbers), (230.0, 170.0, 110.0, 50.0), strict=True))
    polled(made, ages, error.code)
    made.poller.allow(right(made), refused)
    assert made.sends(9) == []
    assert len(made.sends(2)) == 1
    assert made.sends(58) == []
    assert len(made.sends(2)) == 1


def test_what_the_api_accepts_again_is_not_refused_by_who_held_it_long_ago() -> None:
    made = Bench(4)
    made.answer = lambda _: FORBIDDEN
    made.poller.allow(right(made))
    made.run(5)
    assert not made.poller.status().up
    made.poller.allow(NEVER)
    made.answer = lambda _: None
    healthy = replace(made.poller.status(), refused=None, refused_spaces={}, operations=(OperationStatus(OPERATION),))
    made.poller.allow(right(made, token=3), healthy)
    assert made.poller.status().up
    assert len(made.run(75)) >= 4


def test_at_the_spare_rate_all_requests_share_it() -> None:
    made = Bench(200)
    made.poller.allow(ALWAYS, None, 2)
    sent = made.sends(60)
    assert 110 < len(sent) < 120
    assert all(third - first > 1.0 for first, third in zip(sent, sent[2:], strict=False))
    made.poller.allow(right(made))
    assert 45 <= len(made.sends(10)) <= 50
    assert made.poller.status().budget_qps == 5


def asked(answer: Callable[[Sent], ApiError | None] = lambda _: None) -> Asked:
    """A poller that also lists and checks; another replica holds its account."""
    made = Asked(
        numbers(20),
        health=HealthConfig(60.0),
        discover=DiscoverConfig(("a",), 60.0),
        fleet=FakeFleet(["a"]),
        answer=answer,
    )
    made.poller.allow(NEVER)
    made.run(1.0)
    return made


def test_without_the_right_nothing_is_listed_or_checked() -> None:
    made = asked()
    made.run(120)
    assert made.sent == []


def test_a_new_holder_lists_at_once_and_checks_each_number_at_its_turn() -> None:
    """It needs the listing to go on with it; verdicts it has from the holder before."""
    made = asked()
    polled(made, {number.key: 0.0 for number in made.numbers})
    for number in made.numbers:
        made.state.checked(number, Health("AVAILABLE"))
    made.poller.allow(Right(1, made.time.now, math.inf))
    made.run(20)
    assert {each.operation for each in made.sent} == {NUMBERS}
    made.run(80)
    assert sum(each.operation == HEALTH for each in made.sent) >= 20


@pytest.mark.parametrize("code", ["NoPermission", "timeout"])
def test_an_operation_that_fails_stays_down_over_a_hand_over(code: str) -> None:
    kind = Kind.PERMISSION if code == "NoPermission" else Kind.TRANSIENT
    made = asked(lambda sent: ApiError(code, kind) if sent.operation == HEALTH else None)
    down = OperationStatus(HEALTH, up=False, refused=Refused(code))
    made.poller.allow(right_now(made), replace(made.poller.status(), operations=(down,)))
    for _ in range(20):
        made.run(1.0)
        (now,) = [each for each in made.poller.status().operations if each.operation == HEALTH]
        assert not now.up
    made.answer = lambda _: None
    made.run(120)
    assert all(each.up for each in made.poller.status().operations)


def test_an_outage_does_not_hide_why_an_operation_was_refused() -> None:
    standing = Standing("A")
    standing.take_over(OperationStatus("A", up=False, refused=Refused("NoPermission")))
    assert standing.is_forbidden
    standing.heard(NumberKey("main", "a", "1"), ApiError("timeout", Kind.TRANSIENT), is_whole=False)
    assert standing.status.refused == Refused("NoPermission")


def right_now(made: Asked) -> Right:
    return Right(1, made.time.now, math.inf)
