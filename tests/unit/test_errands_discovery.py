"""Discovery in virtual time: what is listed when, by requests that go through the account's gate."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from exporter.config.numbers import redact
from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.errors import ApiError, Kind
from exporter.model import OPERATION
from tests.support.asked import HEALTH, NUMBERS, SPACES, Asked, FakeFleet, Sent, most_in_a_second
from tests.support.numbers import numbers

ALL = DiscoverConfig(refresh_interval_seconds=300.0)
UNREACHABLE = ApiError("connection_error", Kind.TRANSIENT)
FORBIDDEN = ApiError("Ram.PermissionDeny", Kind.PERMISSION, request_id="R-1")
BAD_KEY = ApiError("InvalidAccessKeyId.NotFound", Kind.ACCOUNT, request_id="R-2")
NO_CREDENTIAL = ApiError("credentials_error", Kind.ACCOUNT, sent=False)


def spaces(count: int) -> list[str]:
    return [f"cams-{index:04}" for index in range(count)]


def failing(operation: str, error: ApiError) -> Callable[[Sent], ApiError | None]:
    return lambda sent: error if sent.operation == operation else None


def test_the_spaces_are_found_and_then_the_numbers_of_each_are_listed() -> None:
    asked = Asked(discover=ALL, spaces=spaces(3))
    asked.run(5.0)
    assert asked.sent[0].operation == SPACES
    assert Counter((sent.operation, sent.space) for sent in asked.sent) == Counter(
        [(SPACES, ""), *((NUMBERS, space) for space in spaces(3))]
    )
    assert [[space.cust_space_id for space in found] for found in asked.fleet.found] == [spaces(3)]
    assert sorted(asked.fleet.listed) == spaces(3)
    asked.stop()


def test_listings_hide_phone_numbers_as_the_configuration_says() -> None:
    asked = Asked(discover=ALL, spaces=spaces(1), hide=redact)
    asked.run(5.0)
    assert asked.hidden == {(SPACES, redact), (NUMBERS, redact)}
    asked.stop()


def test_each_space_is_listed_once_per_interval_spread_evenly() -> None:
    """500 spaces cost 500 requests a refresh, and the pages of the list of spaces."""
    asked = Asked(discover=ALL, spaces=spaces(500))
    asked.run(600.0)
    sent = asked.run(300.0)
    assert Counter(each.space for each in asked.of(NUMBERS, sent)) == Counter(spaces(500))
    assert len(asked.of(SPACES, sent)) == 5
    by_minute = Counter(int((each.at - asked.began) // 60) for each in asked.of(NUMBERS, sent))
    assert all(80 <= count <= 120 for count in by_minute.values())
    asked.stop()


def test_first_listings_go_before_health_checks() -> None:
    """Where polls do not fit, a tenth of the slots is all there is: the spaces wait for no check of what is found."""
    found = [f"cams-{index:02}" for index in range(50)]
    asked = Asked(numbers(3000), health=HealthConfig(), discover=DiscoverConfig(tuple(found)), fleet=FakeFleet(found))
    asked.run(60.0)
    assert {sent.space for sent in asked.of(NUMBERS)} == set(found)
    last = asked.of(NUMBERS)[len(found) - 1]
    assert len(asked.of(HEALTH, [sent for sent in asked.sent if sent.at < last.at])) <= 1
    assert asked.of(HEALTH), "checks begin after that"
    asked.stop()


def test_listed_spaces_need_no_list_of_spaces() -> None:
    asked = Asked(discover=DiscoverConfig(spaces=("a", "b")), fleet=FakeFleet(["a", "b"]))
    asked.run(30.0)
    assert Counter((sent.operation, sent.space) for sent in asked.sent) == {(NUMBERS, "a"): 1, (NUMBERS, "b"): 1}
    asked.stop()


def test_each_page_takes_a_slot_of_the_account() -> None:
    asked = Asked(discover=ALL, qps=2.0, spaces=spaces(7), page_size=2)
    asked.run(1.7)
    pages = asked.of(SPACES)
    assert len(pages) == 4
    assert all(after.at - before.at >= 1 / 2.0 - 0.01 for before, after in itertools.pairwise(pages))
    asked.run(60.0)
    assert len(asked.fleet.found) == 1
    assert most_in_a_second([sent.at for sent in asked.sent]) <= 2
    asked.stop()


def test_spaces_that_come_are_listed_soon_and_those_that_go_no_more() -> None:
    asked = Asked(discover=ALL, spaces=spaces(3))
    asked.run(200.0)
    asked.spaces = spaces(4)[1:]
    sent = asked.run(300.0)
    listed_at = asked.of(SPACES, sent)[0].at
    new = [each for each in asked.of(NUMBERS, sent) if each.space == "cams-0003"]
    assert new[0].at - listed_at < 2.0
    assert not [each for each in asked.of(NUMBERS, sent) if each.space == "cams-0000" and each.at > listed_at + 1.0]
    asked.stop()


@pytest.mark.parametrize("operation", [SPACES, NUMBERS])
def test_a_failed_listing_is_retried_later_each_time_and_at_most_after_the_interval(operation: str) -> None:
    """10 s doubling; jitter takes off half at most."""
    asked = Asked(
        discover=DiscoverConfig(refresh_interval_seconds=3600.0), spaces=spaces(1), fleet=FakeFleet(spaces(1))
    )
    asked.answer = failing(operation, UNREACHABLE)
    asked.run(3 * 3600.0)
    gaps = [after.at - before.at for before, after in itertools.pairwise(asked.of(operation))]
    longest = 10.0
    for gap in gaps[:5]:
        assert longest / 2 <= gap <= longest + 1.0
        longest *= 2
    assert max(gaps) <= 3601.0
    asked.answer = lambda _: None
    asked.run(3601.0)
    assert asked.fleet.found if operation == SPACES else asked.fleet.listed
    asked.stop()


def test_a_listing_of_spaces_that_is_not_whole_is_a_failure_and_changes_nothing() -> None:
    asked = Asked(discover=ALL, spaces=spaces(5), page_size=2)
    asked.answer = lambda sent: UNREACHABLE if len(asked.of(SPACES)) == 2 else None
    asked.run(1.0)
    assert asked.fleet.found == []
    assert asked.fleet.failed == [(None, "connection_error")]
    asked.run(11.0)
    assert [len(found) for found in asked.fleet.found] == [5]
    assert len(asked.of(SPACES)) == 2 + 3
    asked.stop()


def test_polls_and_listings_share_the_budget() -> None:
    """While polls are due at most every other slot is a listing; no poll is late for it."""
    asked = Asked(numbers(100), qps=10.0, discover=ALL, spaces=spaces(200))
    asked.run(30.0)
    assert most_in_a_second([sent.at for sent in asked.sent]) <= 10
    first = [sent.operation for sent in asked.sent[:150]]
    assert all(OPERATION in pair for pair in itertools.pairwise(first))
    assert first.count(OPERATION) >= 75
    assert len(asked.of(OPERATION)) >= 100
    assert len(asked.of(NUMBERS)) > 150
    asked.stop()


def test_a_poller_that_stops_lists_no_more() -> None:
    asked = Asked(discover=ALL, spaces=spaces(50))
    asked.run(2.0)
    asked.poller.stop()
    assert len(asked.run(100.0)) <= 1
    asked.stop()


def test_discovery_that_leaves_the_configuration_lists_no_more() -> None:
    asked = Asked(discover=ALL, spaces=spaces(50))
    asked.run(2.0)
    asked.discover = None
    asked.configure()
    assert asked.run(600.0) == []
    assert [status.operation for status in asked.poller.status().operations] == [OPERATION]
    asked.stop()


def test_another_client_begins_the_list_of_spaces_anew() -> None:
    """Pages of two accounts must not become one list."""
    asked = Asked(discover=ALL, spaces=spaces(5), page_size=2)
    other = Asked(spaces=["other-1", "other-2"], page_size=2, time=asked.time, fleet=asked.fleet)
    other.poller.stop()
    asked.run(0.15)
    assert len(asked.of(SPACES)) == 2
    asked.configure(other)
    asked.run(5.0)
    assert [[space.cust_space_id for space in found] for found in asked.fleet.found] == [["other-1", "other-2"]]
    asked.stop()


class TestRefusals:
    """A refusal of discovery concerns discovery only."""

    @pytest.mark.parametrize("error", [FORBIDDEN, BAD_KEY])
    def test_polls_go_on(self, error: ApiError) -> None:
        asked = Asked(numbers(20), discover=ALL, spaces=spaces(5), fleet=FakeFleet(spaces(5)))
        asked.answer = lambda sent: None if sent.operation == OPERATION else error
        asked.run(120.0)
        status = asked.poller.status()
        assert status.up
        assert status.refused_spaces == {}
        assert [each.up for each in status.operations] == [True, False, False]
        assert asked.operation(NUMBERS).refused is not None
        sent = asked.run(300.0)
        assert len(asked.of(OPERATION, sent)) == pytest.approx(20 * 5, abs=2)
        asked.stop()

    def test_one_line_says_it_and_one_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        asked = Asked(numbers(1), discover=ALL, spaces=spaces(5), fleet=FakeFleet(spaces(5)))
        asked.answer = failing(NUMBERS, FORBIDDEN)
        asked.run(900.0)
        asked.answer = lambda _: None
        asked.run(900.0)
        lines = [record for record in caplog.records if record.message.startswith("an operation is")]
        assert [line.message for line in lines] == ["an operation is down", "an operation is up"]
        facts = lines[0].fields  # type: ignore[attr-defined] # logs.fields
        assert (facts["operation"], facts["code"], facts["request_id"]) == (NUMBERS, "Ram.PermissionDeny", "R-1")
        assert f"cams:{NUMBERS}" in facts["advice"]
        asked.stop()

    def test_once_it_is_refused_as_a_whole_it_is_probed_spaces_in_turn(self) -> None:
        """Three spaces refuse in a row; then one probe per interval."""
        asked = Asked(discover=ALL, spaces=spaces(50), fleet=FakeFleet(spaces(50)))
        asked.answer = failing(NUMBERS, FORBIDDEN)
        asked.run(10.0)
        assert 3 <= len(asked.of(NUMBERS)) <= 8
        sent = asked.of(NUMBERS, asked.run(3000.0))
        assert len(sent) == pytest.approx(10, abs=1)
        assert len({each.space for each in sent}) == len(sent)
        asked.answer = lambda _: None
        asked.run(300.0 + 30.0)
        assert set(asked.fleet.listed) == set(spaces(50))
        asked.stop()

    def test_one_space_that_refuses_does_not_keep_others_from_being_listed(self) -> None:
        asked = Asked(discover=ALL, spaces=spaces(10), fleet=FakeFleet(spaces(10)))
        asked.answer = lambda sent: FORBIDDEN if sent.space in {"cams-0003", "cams-0004"} else None
        asked.run(1200.0)
        counts = Counter(sent.space for sent in asked.of(NUMBERS))
        assert all(4 <= counts[space] <= 6 for space in spaces(10))
        assert asked.operation(NUMBERS).up
        asked.stop()

    def test_another_credential_is_tried_soon(self) -> None:
        asked = Asked(discover=ALL, spaces=spaces(5), fleet=FakeFleet(spaces(5)))
        asked.answer = failing(NUMBERS, FORBIDDEN)
        asked.run(100.0)
        asked.answer = lambda _: None
        asked.changes += 1
        asked.run(13.0)
        assert set(asked.fleet.listed) == set(spaces(5))
        asked.stop()

    def test_while_the_account_is_refused_nothing_is_listed(self) -> None:
        asked = Asked(numbers(5), discover=ALL, spaces=spaces(50), fleet=FakeFleet(spaces(50)))
        asked.answer = lambda sent: BAD_KEY if sent.operation == OPERATION else None
        asked.run(20.0)
        assert not asked.poller.status().up
        assert {sent.operation for sent in asked.run(600.0)} == {OPERATION}
        asked.stop()


class TestAnAccountWithoutNumbers:
    """Discovery is all that shows whether the account is accepted."""

    def test_it_is_up_while_listings_succeed_although_nothing_is_there(self) -> None:
        asked = Asked(discover=ALL)
        asked.run(10.0)
        assert asked.poller.status().up
        asked.stop()

    @pytest.mark.parametrize(("error", "within"), [(FORBIDDEN, 2.0), (BAD_KEY, 40.0), (NO_CREDENTIAL, 2.0)])
    def test_it_is_down_while_they_are_refused(self, error: ApiError, within: float) -> None:
        asked = Asked(discover=ALL, answer=lambda _: error)
        asked.run(within)
        refused = asked.poller.status().refused
        assert refused is not None
        assert (refused.code, refused.request_id) == (error.code, error.request_id)
        asked.answer = lambda _: None
        asked.changes += 1
        asked.run(15.0)
        assert asked.poller.status().up
        asked.stop()

    def test_one_error_about_the_key_does_not_refuse_it(self) -> None:
        asked = Asked(discover=ALL, answer=lambda _: BAD_KEY)
        asked.run(3.0)
        assert asked.poller.status().up
        asked.stop()

    def test_with_numbers_discovery_does_not_decide_it(self) -> None:
        asked = Asked(numbers(1), discover=ALL)
        asked.answer = failing(SPACES, FORBIDDEN)
        asked.run(60.0)
        assert asked.poller.status().up
        asked.stop()

    def test_numbers_that_leave_while_the_account_is_refused_do_not_end_discovery(self) -> None:
        asked = Asked(numbers(3), discover=ALL, answer=lambda _: BAD_KEY)
        asked.run(20.0)
        asked.numbers, asked.answer = (), lambda _: None
        asked.configure()
        asked.run(400.0)
        assert asked.fleet.found
        assert asked.poller.status().up
        asked.stop()


class TestThrottles:
    """A throttle of a listing holds back that operation only."""

    THROTTLE = ApiError("Throttling.User", Kind.THROTTLE)

    def test_polls_keep_their_pace(self) -> None:
        asked = Asked(numbers(100), discover=ALL, spaces=spaces(100), fleet=FakeFleet(spaces(100)))
        asked.answer = failing(NUMBERS, self.THROTTLE)
        asked.run(60.0)
        status = asked.poller.status()
        assert status.effective_qps == 10.0
        assert status.guard_seconds == 0.0
        sent = asked.run(60.0)
        assert len(asked.of(OPERATION, sent)) == pytest.approx(100, abs=2)
        asked.stop()

    def test_the_operation_pauses_longer_each_time_and_recovers(self) -> None:
        asked = Asked(discover=ALL, spaces=spaces(100), fleet=FakeFleet(spaces(100)))
        asked.answer = failing(NUMBERS, self.THROTTLE)
        asked.run(400.0)
        gaps = [
            after.at - before.at
            for before, after in itertools.pairwise(asked.of(NUMBERS))
            if after.at > before.at + 0.5
        ]
        assert gaps[:3] == sorted(gaps[:3])
        assert 30.0 < max(gaps) < 75.0
        assert len(asked.of(NUMBERS)) < 30
        asked.answer = lambda _: None
        asked.run(360.0)
        assert set(asked.fleet.listed) == set(spaces(100))
        asked.stop()

    def test_the_pause_that_is_asked_for_is_kept(self) -> None:
        asked = Asked(discover=ALL, spaces=spaces(100), fleet=FakeFleet(spaces(100)))
        error = ApiError("Throttling.User", Kind.THROTTLE, retry_after_seconds=30.0)
        asked.answer = lambda sent: error if len(asked.of(NUMBERS)) == 5 else None
        asked.run(40.0)
        (pause,) = [b.at - a.at for a, b in itertools.pairwise(asked.of(NUMBERS)) if b.at - a.at > 5.0]
        assert pause >= 30.0
        asked.stop()


def test_first_listings_that_have_not_ended_are_told() -> None:
    asked = Asked(discover=ALL, spaces=spaces(2), fleet=FakeFleet(["a", "b"]), latency=lambda _: 5.0)
    assert asked.poller.unlisted() == [None, "a", "b"]
    asked.run(4.0)
    assert asked.poller.unlisted() == [None, "a", "b"]
    asked.answer = failing(NUMBERS, UNREACHABLE)
    asked.run(3.0)
    assert set(asked.poller.unlisted()) <= set(spaces(2))
    asked.run(10.0)
    assert asked.poller.unlisted() == []
    asked.stop()


def test_refused_listings_are_not_waited_for() -> None:
    asked = Asked(discover=ALL, fleet=FakeFleet(spaces(50)), spaces=spaces(50))
    asked.answer = failing(NUMBERS, FORBIDDEN)
    asked.run(5.0)
    assert asked.poller.unlisted() == []
    asked.stop()


def test_once_lists_everything_once_with_its_retries() -> None:
    asked = Asked(numbers(3), discover=ALL, spaces=spaces(3), repeat=False)
    failures = defaultdict(int, {"cams-0001": 99})

    def answer(sent: Sent) -> ApiError | None:
        failures[sent.space] -= sent.operation == NUMBERS
        return UNREACHABLE if sent.operation == NUMBERS and failures[sent.space] > 0 else None

    asked.answer = answer
    assert not asked.poller.finished()
    asked.run(5.0)
    assert not asked.poller.finished()
    asked.run(60.0)
    assert asked.poller.finished()
    assert Counter(sent.space for sent in asked.of(NUMBERS)) == {"cams-0000": 1, "cams-0001": 3, "cams-0002": 1}
    assert len(asked.of(SPACES)) == 1
    asked.stop()


@pytest.mark.parametrize("operation", [SPACES, NUMBERS, HEALTH])
def test_once_gives_up_an_operation_that_is_throttled_without_end(operation: str) -> None:
    found = spaces(50)
    throttle = ApiError("Throttling.User", Kind.THROTTLE, retry_after_seconds=60.0)
    asked = Asked(numbers(50), discover=ALL, health=HealthConfig(), fleet=FakeFleet(found), spaces=found, repeat=False)
    asked.answer = failing(operation, throttle)
    asked.run(400.0)
    assert asked.poller.finished()
    assert len(asked.of(operation)) <= 6
    assert len(asked.of(OPERATION)) == 50
    asked.stop()


def test_errors_of_listings_are_counted_for_their_operation_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(discover=ALL, fleet=FakeFleet(["a"]), spaces=["a"])
    asked.answer = failing(NUMBERS, UNREACHABLE)
    asked.run(100.0)
    lines = [record for record in caplog.records if record.message == "listing failed"]
    assert [line.levelname for line in lines].count("WARNING") == 1
    errors = asked.counters.of("main", NUMBERS).errors["connection_error"].value
    assert errors == len(asked.of(NUMBERS)) > 3
    assert asked.counters.of("main", NUMBERS).retries.value == errors - 1
    assert asked.counters.of("main", SPACES).requests.value == 1
    asked.stop()


def test_a_fleet_with_a_bug_does_not_end_the_listings(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(discover=ALL, fleet=FakeFleet(["a"]), spaces=["a"])

    def fail(*_: object) -> None:
        raise KeyError

    asked.fleet.numbers_listed = fail  # type: ignore[assignment] # a fake
    asked.run(1000.0)
    assert len(asked.of(NUMBERS)) >= 3
    assert "an answer was lost" in caplog.text
    asked.stop()
