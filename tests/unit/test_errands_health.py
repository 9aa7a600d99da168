"""Health checks in virtual time, and how errands share the budget with polls."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.errors import ApiError, Kind
from exporter.model import OPERATION, Health, HealthError, pace_qps
from tests.support.asked import HEALTH, NUMBERS, TIMEOUT, Asked, FakeFleet, Sent, most_in_a_second
from tests.support.numbers import number, numbers

FIVE_MINUTES = HealthConfig(300.0)
FORBIDDEN = ApiError("Ram.PermissionDeny", Kind.PERMISSION, request_id="R-1")
UNREACHABLE = ApiError("connection_error", Kind.TRANSIENT)


def gaps(sent: Sequence[Sent]) -> list[float]:
    """Between two requests about the same thing."""
    by_target: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for each in sent:
        by_target[each.space, each.phone].append(each.at)
    return [after - before for instants in by_target.values() for before, after in itertools.pairwise(instants)]


def test_each_number_is_checked_at_once_and_then_once_per_interval_spread_evenly() -> None:
    asked = Asked(numbers(100), health=FIVE_MINUTES)
    asked.run(30.0)
    assert Counter(sent.phone for sent in asked.of(HEALTH)) == Counter(each.phone_number for each in asked.numbers)
    asked.run(570.0)
    sent = asked.of(HEALTH, asked.run(900.0))
    assert len(sent) == pytest.approx(300, abs=3)
    assert gaps(sent) == pytest.approx([300.0] * len(gaps(sent)), abs=1.0)
    by_minute = Counter(int((each.at - asked.began) // 60) for each in sent)
    assert all(15 <= count <= 25 for count in by_minute.values())
    assert asked.poller.status().health_seconds == 300.0
    asked.stop()


def test_a_verdict_reaches_the_state() -> None:
    asked = Asked(numbers(1), health=FIVE_MINUTES)
    asked.run(2.0)
    health = asked.state.snapshot().numbers[0].health
    assert health is not None
    assert health.answer == Health("AVAILABLE")
    assert asked.counters.of("main", HEALTH).requests.value == 1
    asked.stop()


def test_checks_stay_below_their_own_ceiling_although_the_account_has_more() -> None:
    """5 a second are allowed, 10 are the account's; 1,000 numbers in 60 s would need 17."""
    asked = Asked(numbers(1000), interval=3600.0, health=HealthConfig(60.0))
    asked.run(150.0)
    sent = asked.of(HEALTH, asked.run(100.0))
    assert most_in_a_second([each.at for each in sent]) <= 5
    assert len(sent) == pytest.approx(490, abs=5)
    asked.stop()


@pytest.mark.parametrize(
    ("count", "interval", "qps", "health", "spaces", "refresh"),
    [
        (60, 60.0, 10.0, 60.0, 0, 60.0),  # everything fits
        (160, 40.0, 10.0, 24.0, 0, 60.0),  # the ceiling of 5/s
        (50, 10.0, 3.0, 60.0, 0, 60.0),  # polls do not fit: a tenth
        (200, 60.0, 5.0, 30.0, 0, 60.0),  # polls fit and leave a third
        (100, 60.0, 3.0, 30.0, 200, 60.0),  # listings want more than there is: each gets half
        (100, 60.0, 3.0, 60.0, 20, 60.0),  # listings fit into their half
    ],
)
def test_the_time_between_two_checks_is_what_is_told(
    count: int, interval: float, qps: float, health: float, spaces: int, refresh: float
) -> None:
    """The arithmetic of the configuration holds for what is really sent."""
    found = [f"cams-{index:03}" for index in range(spaces)]
    asked = Asked(
        numbers(count),
        interval=interval,
        qps=qps,
        health=HealthConfig(health),
        discover=DiscoverConfig(tuple(found), refresh) if spaces else None,
        fleet=FakeFleet(found),
    )
    told = asked.poller.status().health_seconds
    assert told is not None
    asked.run(max(2 * told, 1.5 * interval))
    sent = asked.run(3 * told)
    found_gaps = gaps(asked.of(HEALTH, sent))
    assert sum(found_gaps) / len(found_gaps) == pytest.approx(told, rel=0.05)
    assert max(found_gaps) < 1.6 * told
    errands = asked.poller._errands
    polls = gaps(asked.of(OPERATION, sent))
    assert sum(polls) / len(polls) == pytest.approx(errands.poll_seconds, rel=0.05)
    asked.stop()


def test_where_polls_do_not_fit_errands_take_a_tenth_of_the_slots() -> None:
    asked = Asked(numbers(3000), health=FIVE_MINUTES)
    asked.run(10.0)
    sent = asked.run(200.0)
    assert len(sent) == pytest.approx(200 * pace_qps(10.0, 10.0), rel=0.01)
    assert len(asked.of(HEALTH, sent)) / len(sent) == pytest.approx(0.1, abs=0.005)
    asked.stop()


def test_the_spaces_of_a_large_fleet_get_their_refresh() -> None:
    """10,000 numbers that do not fit, and 500 spaces: a listing of each takes 500 of a tenth of the slots."""
    found = [f"cams-{index:03}" for index in range(500)]
    many = [number(index, space=found[index % 500]) for index in range(10_000)]
    asked = Asked(many, discover=DiscoverConfig(tuple(found)), fleet=FakeFleet(found))
    asked.run(530.0)
    assert Counter(sent.space for sent in asked.of(NUMBERS)).keys() == set(found)
    assert len(asked.of(OPERATION)) / len(asked.sent) == pytest.approx(0.9, abs=0.005)
    asked.stop()


def test_listings_and_checks_alternate_while_both_want_all_they_can_get() -> None:
    found = [f"cams-{index:02}" for index in range(20)]
    asked = Asked(
        numbers(3000), health=FIVE_MINUTES, discover=DiscoverConfig(tuple(found), 10.0), fleet=FakeFleet(found)
    )
    asked.run(30.0)  # the first listings go before
    sent = asked.run(200.0)
    assert len(asked.of(HEALTH, sent)) == pytest.approx(len(asked.of(NUMBERS, sent)), abs=2)
    asked.stop()


def test_checks_that_hang_do_not_hold_back_polls() -> None:
    """One of a hundred accounts may have four requests under way: two of them are checks at most."""
    asked = Asked(numbers(20), interval=30.0, qps=2.0, health=HealthConfig(10.0), accounts=1000)
    asked.latency = lambda sent: TIMEOUT if sent.operation == HEALTH else 0.1
    asked.answer = lambda sent: UNREACHABLE if sent.operation == HEALTH else None
    asked.run(60.0)
    lags: list[float] = []
    sent = asked.run(120.0, lambda: lags.append(asked.poller.status().lag_seconds))
    assert len(asked.of(OPERATION, sent)) == pytest.approx(80, abs=2)
    assert max(lags) < 2.0
    asked.stop()


class TestFailures:
    def test_one_that_may_pass_is_retried_twice_at_most(self) -> None:
        asked = Asked(numbers(1), health=FIVE_MINUTES)
        asked.answer = lambda sent: UNREACHABLE if sent.operation == HEALTH else None
        asked.run(600.0)
        sent = asked.of(HEALTH, asked.run(1500.0))
        assert 5 < len(sent) <= 16
        asked.stop()

    def test_a_number_that_is_wrong_is_not_retried_and_says_nothing_of_the_operation(self) -> None:
        error = ApiError("InvalidParameter.PhoneNumber", Kind.NUMBER)
        asked = Asked(numbers(5), health=FIVE_MINUTES)
        asked.answer = lambda sent: (
            error if sent.phone == numbers(1)[0].phone_number and sent.operation == HEALTH else None
        )
        asked.run(900.0)
        assert len([sent for sent in asked.of(HEALTH) if sent.phone == numbers(1)[0].phone_number]) <= 4
        assert asked.operation(HEALTH).up
        asked.stop()

    def test_the_pause_that_a_numbers_error_asks_for_holds_back_that_number_only(self) -> None:
        error = ApiError("InvalidParameter.PhoneNumber", Kind.NUMBER, retry_after_seconds=60.0)
        first = numbers(1)[0].phone_number
        asked = Asked(numbers(5), interval=5.0, health=HealthConfig(5.0))
        asked.answer = lambda sent: error if sent.phone == first and sent.operation == HEALTH else None
        asked.run(120.0)
        counts = Counter(sent.phone for sent in asked.of(HEALTH))
        assert counts.pop(first) <= 3
        assert all(count >= 20 for count in counts.values())
        asked.stop()

    def test_what_is_cured_is_asked_again_at_once_and_is_no_failure_of_the_number(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The client found that the API wants another spelling."""
        cured = ApiError("InvalidParameter.NodeType", Kind.NUMBER, cured=True)
        asked = Asked(numbers(1), health=FIVE_MINUTES)
        asked.answer = lambda sent: cured if sent.operation == HEALTH and len(asked.of(HEALTH)) == 1 else None
        asked.run(2.0)
        health = asked.state.snapshot().numbers[0].health
        assert health is not None
        assert health.answer is not None
        assert health.last_error is None
        assert len(asked.of(HEALTH)) == 2
        assert caplog.records == []
        assert asked.operation(HEALTH).up
        asked.stop()

    def test_a_refused_operation_leaves_polls_alone_and_is_down(self) -> None:
        asked = Asked(numbers(50), health=FIVE_MINUTES)
        asked.answer = lambda sent: FORBIDDEN if sent.operation == HEALTH else None
        asked.run(10.0)
        status = asked.operation(HEALTH)
        assert not status.up
        assert status.refused is not None
        assert (status.refused.code, status.refused.request_id) == ("Ram.PermissionDeny", "R-1")
        assert len(asked.of(HEALTH)) <= 6
        assert len(asked.of(HEALTH, asked.run(3000.0))) == pytest.approx(10, abs=1)
        assert asked.poller.status().up
        asked.answer = lambda _: None
        asked.run(330.0)
        assert asked.operation(HEALTH).up
        asked.stop()

    def test_probes_of_a_short_interval_are_ten_seconds_apart(self) -> None:
        asked = Asked(numbers(5), health=HealthConfig(1.0))
        asked.answer = lambda sent: FORBIDDEN if sent.operation == HEALTH else None
        asked.run(10.0)
        assert len(asked.of(HEALTH, asked.run(100.0))) == pytest.approx(10, abs=1)
        asked.stop()

    def test_permission_that_comes_for_one_space_is_found(self) -> None:
        """Probes ask the spaces in turn, not all numbers of the first one before."""
        many = [number(index, space="cams-a") for index in range(40)] + [number(99, space="cams-b")]
        asked = Asked(many, health=FIVE_MINUTES)
        asked.answer = lambda sent: FORBIDDEN if sent.operation == HEALTH else None
        asked.run(60.0)
        asked.answer = lambda sent: FORBIDDEN if sent.operation == HEALTH and sent.space == "cams-a" else None
        asked.run(700.0)
        assert asked.operation(HEALTH).up
        asked.stop()

    def test_numbers_of_a_space_whose_polls_are_refused_are_checked_on(self) -> None:
        asked = Asked(numbers(5), health=HealthConfig(60.0))
        asked.answer = lambda sent: FORBIDDEN if sent.operation == OPERATION else None
        asked.run(60.0)
        assert asked.poller.status().refused_spaces
        assert len(asked.of(HEALTH, asked.run(300.0))) == pytest.approx(25, abs=5)
        asked.stop()

    def test_an_operation_that_never_succeeded_is_down(self) -> None:
        asked = Asked(numbers(1), health=FIVE_MINUTES)
        assert asked.operation(HEALTH).up
        asked.answer = lambda sent: UNREACHABLE if sent.operation == HEALTH else None
        asked.run(2.0)
        status = asked.operation(HEALTH)
        assert (status.up, status.refused and status.refused.code) == (False, "connection_error")
        asked.answer = lambda _: None
        asked.run(300.0)
        asked.answer = lambda sent: UNREACHABLE if sent.operation == HEALTH else None
        asked.run(600.0)
        assert asked.operation(HEALTH).up
        asked.stop()


class TestLogLines:
    @pytest.fixture
    def asked(self, caplog: pytest.LogCaptureFixture) -> Asked:
        caplog.set_level("INFO")
        return Asked(numbers(1), health=HealthConfig(10.0))

    def test_a_verdict_that_becomes_blocked_is_a_warning_with_its_reasons(
        self, asked: Asked, caplog: pytest.LogCaptureFixture
    ) -> None:
        recorder = asked.poller._errands._recorder
        reasons = (HealthError("WABA", "141006"), HealthError("BUSINESS", "131031"))
        (each,) = asked.numbers
        for health in (
            Health("AVAILABLE"),
            Health("BLOCKED", reasons, "R-9"),
            Health("BLOCKED", reasons),
            Health("AVAILABLE"),
        ):
            recorder.checked(each, health)
        lines = [record for record in caplog.records if record.message == "verdict changed"]
        assert [line.levelname for line in lines] == ["WARNING", "INFO"]
        facts = lines[0].fields  # type: ignore[attr-defined] # logs.fields
        assert facts["reasons"] == "WABA:141006 BUSINESS:131031"
        assert (facts["before"], facts["verdict"], facts["request_id"]) == ("AVAILABLE", "BLOCKED", "R-9")
        asked.stop()

    def test_a_failure_is_said_once_and_so_is_its_end(self, asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
        asked.answer = lambda sent: UNREACHABLE if sent.operation == HEALTH else None
        asked.run(60.0)
        asked.answer = lambda _: None
        asked.run(60.0)
        said = [record.message for record in caplog.records]
        assert said.count("health check failed") == said.count("health check succeeded again") == 1
        asked.stop()
