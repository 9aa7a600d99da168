"""The records: changes by a success and a failure, and what a reload keeps."""

from __future__ import annotations

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import UNKNOWN, Answer, PhoneNumber
from exporter.state.history import MAX_POLLS
from exporter.state.store import MAX_EXTRA_STATUSES, NumberState, State
from tests.support.clock import FakeClock
from tests.support.numbers import number

STALE_AFTER = 900.0


def state(clock: FakeClock, *numbers: PhoneNumber) -> State:
    made = State(clock)
    made.configure(numbers, {"main": STALE_AFTER})
    return made


def answer(status: str = "VERIFIED", request_id: str = "R-1") -> Answer:
    return Answer(status, "2224342624", request_id)


def error(code: str = "timeout") -> ApiError:
    return ApiError(code, Kind.TRANSIENT, message="no answer", request_id="R-9", http_status=None)


def copy_of(text: str) -> str:
    """An equal string that is another object, as from each answer."""
    return "".join(list(text))


def only(made: State) -> NumberState:
    (record,) = made.snapshot().numbers
    return record


def shown(made: State) -> str:
    snapshot = made.snapshot()
    return snapshot.status(snapshot.numbers[0])


def test_a_new_number_reads_unknown() -> None:
    made = state(FakeClock(), number())
    assert shown(made) == UNKNOWN
    assert only(made).last_poll_success is None
    assert only(made).success_unix is None


def test_an_answer_is_the_status_and_its_time() -> None:
    clock = FakeClock()
    made = state(clock, number())
    clock.advance(5)
    made.succeeded(number(), answer())
    record = only(made)
    assert shown(made) == "VERIFIED"
    assert record.success_unix == record.last_poll_unix == record.status_since_unix == clock.now_unix
    assert record.last_poll_success is True
    assert record.phone_number_id == "2224342624"


def test_numbers_with_equal_messages_share_the_text() -> None:
    """Each answer has its own copy; fifty thousand of them need megabytes."""
    made = state(FakeClock(), number(0), number(1))
    for index in range(2):
        made.succeeded(number(index), answer(copy_of("REVOKED")))
        made.failed(number(index), error(copy_of("Odd.Code")))
    first, second = made.snapshot().numbers
    assert first.status is second.status
    assert first.last_error is not None
    assert second.last_error is not None
    assert first.last_error.code is second.last_error.code


def test_numbers_that_a_reload_did_not_change_are_kept_as_they_are() -> None:
    """Otherwise some parts would have the new ones and some the old ones: fifty thousand of them twice."""
    made = state(FakeClock(), number(0), number(1))
    before = [record.number for record in made.snapshot().numbers]
    given = [number(1), number(0, name="renamed"), number(2)]
    kept = made.kept(given)
    assert kept == tuple(given)
    assert kept[0] is before[1]
    assert kept[1:] == (given[1], given[2])


def test_an_equal_id_of_a_later_answer_is_not_stored_again() -> None:
    made = state(FakeClock(), number())
    made.succeeded(number(), Answer("VERIFIED", copy_of("2224"), "R-1"))
    before = only(made)
    made.succeeded(number(), Answer("VERIFIED", copy_of("2224"), "R-2"))
    assert only(made).phone_number_id is before.phone_number_id


def test_a_failure_changes_neither_the_status_nor_a_success_time() -> None:
    """Rule 1 of freshness: an API failure is never a status."""
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer("NOT_VERIFIED"))
    before = only(made)
    clock.advance(60)
    made.failed(number(), error())
    after = only(made)
    assert shown(made) == "NOT_VERIFIED"
    assert after.success_unix == before.success_unix
    assert after.status_since_unix == before.status_since_unix
    assert after.last_poll_success is False
    assert after.last_error is not None
    assert (after.last_error.code, after.last_error.request_id, after.last_error.unix) == (
        "timeout",
        "R-9",
        clock.now_unix,
    )


def test_a_status_older_than_stale_after_reads_unknown() -> None:
    """Rule 2 of freshness: an old status is never fresh, even after many failures."""
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer())
    clock.advance(STALE_AFTER)
    assert shown(made) == "VERIFIED"
    clock.advance(0.001)
    assert shown(made) == UNKNOWN
    made.failed(number(), error())
    assert shown(made) == UNKNOWN
    assert only(made).success_unix is not None


def test_a_wall_clock_that_jumps_makes_no_status_fresher_or_staler() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer())
    clock.now_unix -= 3600
    clock.now += STALE_AFTER - 1
    assert shown(made) == "VERIFIED"
    clock.now += 2
    assert shown(made) == UNKNOWN


@pytest.mark.parametrize("step_seconds", [3600.0, 300.0, 2.0, -2.0, -300.0, -3600.0])
def test_times_move_along_when_the_wall_clock_is_stepped(step_seconds: float) -> None:
    """Their ages stay the same, because the rules and the pages use the new clock."""
    clock = FakeClock()
    made = state(clock, number(0), number(1))
    made.succeeded(number(0), answer())
    clock.advance(20)
    made.failed(number(0), error())
    clock.advance(10)
    clock.now_unix += step_seconds
    made.succeeded(number(1), answer())  # at the first look after the step
    snapshot = made.snapshot()
    first, second = snapshot.numbers
    assert snapshot.unix == clock.now_unix
    assert (first.success_unix, first.status_since_unix) == (snapshot.unix - 30, snapshot.unix - 30)
    assert first.last_poll_unix == snapshot.unix - 10
    assert first.last_error is not None
    assert first.last_error.unix == snapshot.unix - 10
    assert first.own_error == first.last_error
    assert second.success_unix == snapshot.unix
    details = made.details(number(0).key)
    assert details is not None
    assert [poll.unix for poll in details.polls] == [snapshot.unix - 10, snapshot.unix - 30]
    other = made.details(number(1).key)
    assert other is not None
    assert [poll.unix for poll in other.polls] == [snapshot.unix]


def test_a_clock_that_drifts_moves_no_times() -> None:
    """NTP adjusts by up to half a millisecond a second; changed times would be written and stored again."""
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer())
    told = only(made)
    for _ in range(100):
        clock.advance(60)
        clock.now_unix += 0.03
        assert only(made) is told


def test_a_process_that_is_halted_between_its_two_clocks_takes_that_for_no_step() -> None:
    class Halting(FakeClock):
        halt_seconds = 0.0

        def unix(self) -> float:
            self.advance(self.halt_seconds)
            return super().unix()

    clock = Halting()
    made = state(clock, number())
    made.succeeded(number(), answer())
    told = only(made)
    clock.halt_seconds = 5.0
    assert only(made) is told
    clock.halt_seconds = 0.0
    assert only(made) is told


def test_a_fresh_answer_after_staleness_with_the_same_status_is_no_change() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer())
    first_seen = clock.now_unix
    clock.advance(10 * STALE_AFTER)
    before = made.succeeded(number(), answer())
    assert before is not None
    assert before.status == answer().status
    assert only(made).status_since_unix == first_seen


def test_a_status_change_is_returned_with_the_record_before() -> None:
    clock = FakeClock()
    made = state(clock, number())
    blank = only(made)
    assert made.succeeded(number(), answer("VERIFIED")) is blank
    first = only(made)
    clock.advance(60)
    assert made.succeeded(number(), answer("EXPIRED")) is first
    assert only(made).status_since_unix == clock.now_unix


def test_an_unforeseen_status_keeps_its_series_after_it_passed() -> None:
    made = state(FakeClock(), number())
    made.succeeded(number(), answer("REVOKED"))
    made.succeeded(number(), answer("VERIFIED"))
    made.succeeded(number(), answer("REVOKED"))
    assert only(made).extra_statuses == ("REVOKED",)


def test_a_server_that_makes_up_statuses_cannot_make_series_for_ever() -> None:
    made = state(FakeClock(), number())
    for index in range(100):
        made.succeeded(number(), answer(f"ODD_{index}"))
    extra = only(made).extra_statuses
    assert len(extra) == MAX_EXTRA_STATUSES
    assert extra[-1] == "ODD_99"


@pytest.mark.parametrize(("codes", "news"), [(("timeout",), True), (("timeout", "timeout"), False), (("a", "b"), True)])
def test_a_failure_is_news_unless_it_repeats_the_last_one(codes: tuple[str, ...], news: bool) -> None:
    made = state(FakeClock(), number())
    made.succeeded(number(), answer())
    told = [made.failed(number(), error(code)) for code in codes]
    assert told[-1] is news


def test_a_reload_keeps_what_is_known_of_numbers_that_stay_and_forgets_the_rest() -> None:
    clock = FakeClock()
    made = state(clock, number(0), number(1))
    made.succeeded(number(0), answer())
    made.succeeded(number(1), answer())
    renamed = number(0, name="support")
    made.configure([renamed, number(2)], {"main": STALE_AFTER})
    kept, fresh = made.snapshot().numbers
    assert kept.number.name == "support"
    assert kept.status == "VERIFIED"
    assert fresh.status == ""
    assert made.get(number(1).key) is None


def test_answers_for_a_number_that_left_are_dropped() -> None:
    made = state(FakeClock(), number(0))
    assert made.succeeded(number(1), answer()) is None
    assert made.failed(number(1), error()) is False
    assert len(made.snapshot().numbers) == 1


def test_a_snapshot_does_not_change_when_the_state_does() -> None:
    made = state(FakeClock(), number())
    before = made.snapshot()
    made.succeeded(number(), answer())
    assert before.status(before.numbers[0]) == UNKNOWN


def test_a_shorter_stale_after_takes_effect_at_once() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.succeeded(number(), answer())
    clock.advance(100)
    made.configure([number()], {"main": 60.0})
    assert shown(made) == UNKNOWN


def test_a_number_that_is_masked_now_is_masked_in_earlier_messages_too() -> None:
    """A reload to `phone_number_label: masked`: the old label must not be shown any more."""
    full, masked = number(), number(label="861*****00")
    made = state(FakeClock(), full)
    made.failed(full, ApiError("InvalidParameter", Kind.NUMBER, message=f"no such number: {full.phone_number}"))
    made.configure([masked], {"main": STALE_AFTER})
    late = ApiError("InvalidParameter", Kind.NUMBER, message=f"asked before the reload: {full.phone_number}")
    for _ in range(2):
        for error in (only(made).last_error, only(made).own_error):
            assert error is not None
            assert full.phone_number not in error.message
            assert "861*****00" in error.message
        made.failed(full, late)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (Kind.NUMBER, True),
        (Kind.PERMISSION, True),
        (Kind.TRANSIENT, True),
        (Kind.THROTTLE, False),
        (Kind.ACCOUNT, False),
    ],
)
def test_the_accounts_errors_do_not_hide_what_the_number_lacks(kind: Kind, own: bool) -> None:
    """A throttle, or a key that is refused, is the last error, but says nothing of this number."""
    made = state(FakeClock(), number())
    made.failed(number(), ApiError("InvalidParameter.PhoneNumber", Kind.NUMBER, message="no such number"))
    made.failed(number(), ApiError("Other", kind))
    record = only(made)
    assert record.last_error is not None
    assert record.own_error is not None
    assert record.last_error.code == "Other"
    assert record.own_error.code == ("Other" if own else "InvalidParameter.PhoneNumber")


class TestHistory:
    """The last polls that a record carries."""

    def test_each_poll_is_kept_with_its_outcome_latency_and_request_id(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        made.succeeded(number(), Answer("EXPIRED", "1", "R-1", elapsed_seconds=0.25))
        clock.advance(60)
        made.failed(
            number(),
            ApiError("http_502", Kind.TRANSIENT, http_status=502, request_id="R-2", elapsed_seconds=1.5, message="bad"),
        )
        details = made.details(number().key)
        assert details is not None
        assert details.record == only(made)
        failed, succeeded = details.polls
        assert (succeeded.success, succeeded.outcome, succeeded.latency_seconds) == (True, "EXPIRED", 0.25)
        assert (failed.success, failed.outcome, failed.http_status, failed.request_id) == (
            False,
            "http_502",
            502,
            "R-2",
        )
        assert (failed.latency_seconds, failed.unix - succeeded.unix) == (1.5, 60)

    def test_successes_push_the_last_error_out_of_the_polls_and_no_further(self) -> None:
        """An on-call engineer may look hours after the failure."""
        made = state(FakeClock(), number())
        made.failed(number(), error())
        for _ in range(3 * MAX_POLLS):
            made.succeeded(number(), answer())
        details = made.details(number().key)
        assert details is not None
        assert {one.outcome for one in details.polls} == {"VERIFIED"}
        assert details.record.last_error is not None
        assert details.record.last_error.code == "timeout"

    def test_history_outlives_a_reload_for_numbers_that_stay_and_no_others(self) -> None:
        made = state(FakeClock(), number(0), number(1))
        for index in (0, 1):
            made.failed(number(index), error())
        renamed = number(0, name="renamed")
        made.configure([renamed], {"main": STALE_AFTER})
        kept = made.details(renamed.key)
        assert kept is not None
        assert len(kept.polls) == 1
        assert made.details(number(1).key) is None
        made.configure([number(0), number(1)], {"main": STALE_AFTER})
        back = made.details(number(1).key)
        assert back is not None
        assert back.polls == ()
