"""The records: what listings and health checks change, how it ages, and what a reload and a restart keep."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import UNKNOWN, Answer, Health, HealthError, ListedNumber, Listing, PhoneNumber
from exporter.state.records import ShownValues, with_listing
from exporter.state.store import (
    MAX_EXTRA_STATUSES,
    HealthState,
    NumberState,
    Snapshot,
    State,
)
from tests.support.clock import FakeClock
from tests.support.numbers import number

STALE_AFTER, LISTING, HEALTH = 900.0, 21_600.0, 1200.0
ENTRY = ListedNumber(number().phone_number, "CONNECTED", "GREEN", "TIER_1K", 1000.0, "APPROVED", "VERIFIED", "Contoso")
FINE = Health("AVAILABLE", request_id="R-1")
BLOCKED = Health("BLOCKED", (HealthError("WABA", "141006", "Payment is due.", "Pay."),), "R-2")


def configure(made: State, *numbers: PhoneNumber, listing: bool = True, health: bool = True) -> None:
    made.configure(
        numbers,
        {"main": STALE_AFTER},
        listing_seconds={"main": LISTING} if listing else {},
        health_seconds={"main": HEALTH} if health else {},
    )


def state(clock: FakeClock, *numbers: PhoneNumber) -> State:
    made = State(clock)
    configure(made, *numbers)
    return made


def list_number(
    made: State, clock: FakeClock, entry: ListedNumber | None = ENTRY, of: PhoneNumber | None = None
) -> None:
    """A listing of the number's space, now; without an entry it does not hold the number."""
    listing = Listing(False, clock.now) if entry is None else Listing(True, clock.now, clock.now, entry)
    made.listed({(of or number()).key: listing})


def one(made: State) -> tuple[Snapshot, NumberState]:
    snapshot = made.snapshot()
    (record,) = snapshot.numbers
    return snapshot, record


def shown(made: State) -> tuple[bool | None, ListedNumber | None, str]:
    snapshot, record = one(made)
    return snapshot.listed(record), snapshot.entry(record), snapshot.verdict(record)


def error(code: str = "timeout", message: str = "no answer") -> ApiError:
    return ApiError(code, Kind.TRANSIENT, message=message, request_id="R-9")


def copy_of(text: str) -> str:
    """An equal string that is another object, as from each answer."""
    return "".join(list(text))


def health_of(made: State) -> HealthState:
    _, record = one(made)
    assert record.health is not None
    return record.health


def test_before_a_listing_and_a_check_nothing_is_known() -> None:
    made = state(FakeClock(), number())
    assert shown(made) == (None, None, "")


def test_a_listing_counts_until_it_is_too_old_and_a_failed_one_changes_nothing() -> None:
    clock = FakeClock()
    made = state(clock, number())
    list_number(made, clock)
    clock.advance(LISTING)
    assert shown(made)[:2] == (True, ENTRY)
    clock.advance(0.001)
    assert shown(made)[:2] == (None, None)


def test_what_the_last_listing_that_held_the_number_said_outlives_its_absence() -> None:
    """`listed` 0 is as of now; the entry is as old as it is."""
    clock = FakeClock()
    made = state(clock, number())
    seen_at = clock.now
    clock.advance(LISTING)
    made.listed({number().key: Listing(False, clock.now, seen_at, ENTRY)})
    assert shown(made)[:2] == (False, ENTRY)
    clock.advance(1)
    assert shown(made)[:2] == (False, None)


def test_listings_of_other_numbers_and_of_accounts_without_discover_are_ignored() -> None:
    clock = FakeClock()
    made = state(clock, number())
    list_number(made, clock, of=number(1))
    assert shown(made)[0] is None
    configure(made, number(), listing=False)
    list_number(made, clock)
    assert one(made)[1].listing is None


def test_a_status_and_a_failed_poll_keep_listing_and_health() -> None:
    clock = FakeClock()
    made = state(clock, number())
    list_number(made, clock)
    made.checked(number(), BLOCKED)
    made.succeeded(number(), Answer("VERIFIED", "1", "R"))
    made.failed(number(), error())
    assert shown(made) == (True, ENTRY, "BLOCKED")


def test_values_that_listings_have_shown_are_kept_and_bounded() -> None:
    """Documented ratings always have a series, and an empty text is no value."""
    clock = FakeClock()
    made = state(clock, number())
    for index in range(100):
        list_number(
            made,
            clock,
            replace(ENTRY, connection_status=f"C{index}", quality_rating=f"Q{index}", name_status=f"N{index}"),
        )
    list_number(made, clock, replace(ENTRY, connection_status="", quality_rating="RED", name_status=""))
    _, record = one(made)
    for values, letter in zip(record.shown, "CQN", strict=True):
        assert values == tuple(f"{letter}{index}" for index in range(100 - MAX_EXTRA_STATUSES, 100))


def test_numbers_that_have_shown_the_same_share_it() -> None:
    clock = FakeClock()
    made = state(clock, number(0), number(1))
    for index in range(2):
        list_number(made, clock, replace(ENTRY, connection_status=copy_of("BANNED")), number(index))
        made.checked(number(index), Health("BLOCKED", (HealthError("WABA", "1", copy_of("due")),)))
    first, second = made.snapshot().numbers
    assert first.shown is second.shown
    assert first.health is not None
    assert second.health is not None
    assert first.health.answer is not None
    assert second.health.answer is not None
    assert first.health.answer.errors is second.health.answer.errors


def test_a_verdict_reads_unknown_when_it_is_too_old() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.checked(number(), BLOCKED)
    clock.advance(HEALTH)
    snapshot, record = one(made)
    assert snapshot.verdict(record) == "BLOCKED"
    assert snapshot.health_errors(record) == BLOCKED.errors
    clock.advance(0.001)
    snapshot, record = one(made)
    assert snapshot.verdict(record) == UNKNOWN
    assert snapshot.health_errors(record) == ()


def test_a_verdict_that_is_too_old_is_absent_where_the_operation_is_refused() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.checked(number(), BLOCKED)
    made.set_health({}, {"main"})
    assert shown(made)[2] == "BLOCKED"
    clock.advance(HEALTH + 1)
    assert shown(made)[2] == ""
    made.set_health({}, ())
    assert shown(made)[2] == UNKNOWN


def test_the_age_of_a_verdict_follows_the_time_between_two_checks() -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.checked(number(), BLOCKED)
    clock.advance(HEALTH + 1)
    made.set_health({"main": 2 * HEALTH, "other": 1.0}, ())
    assert shown(made)[2] == "BLOCKED"
    configure(made, number(), health=False)
    made.set_health({"main": 2 * HEALTH}, ())
    assert made.checked(number(), BLOCKED) is None


def test_a_check_returns_what_was_known_before() -> None:
    clock = FakeClock()
    made = state(clock, number())
    assert made.checked(number(), FINE) == HealthState()
    first = health_of(made)
    clock.advance(60)
    assert made.checked(number(), FINE) is first
    assert health_of(made).since_unix == first.since_unix == clock.now_unix - 60
    assert health_of(made).success_unix == clock.now_unix
    made.checked(number(), BLOCKED)
    assert health_of(made).since_unix == clock.now_unix
    assert made.checked(number(1), FINE) is None


def test_a_failed_check_changes_neither_the_verdict_nor_its_time() -> None:
    clock = FakeClock()
    made = state(clock, number())
    assert made.check_failed(number(), error()) is True
    assert shown(made)[2] == ""
    made.checked(number(), BLOCKED)
    before = health_of(made)
    assert before.last_error is None
    clock.advance(60)
    news = [made.check_failed(number(), error(code)) for code in ("timeout", "timeout", "http_502")]
    assert news == [True, False, True]
    after = health_of(made)
    assert after.last_error is not None
    assert (after.last_error.code, after.last_error.unix) == ("http_502", clock.now_unix)
    assert replace(after, last_error=None) == before
    assert made.check_failed(number(1), error()) is False


def test_verdicts_that_are_not_documented_are_kept_and_bounded() -> None:
    made = state(FakeClock(), number())
    for index in range(100):
        made.checked(number(), Health(f"ODD_{index}"))
    made.checked(number(), FINE)
    assert health_of(made).shown == tuple(f"ODD_{index}" for index in range(100 - MAX_EXTRA_STATUSES, 100))


@pytest.mark.parametrize(("listing", "health"), [(True, True), (False, True), (True, False)])
def test_a_reload_without_discover_or_health_forgets_what_they_said(listing: bool, health: bool) -> None:
    """Also after a reload that brings them back."""
    clock = FakeClock()
    made = state(clock, number())
    list_number(made, clock)
    made.checked(number(), BLOCKED)
    for again in ((listing, health), (True, True)):
        configure(made, number(0, name="renamed"), listing=again[0], health=again[1])
        assert shown(made) == (True if listing else None, ENTRY if listing else None, "BLOCKED" if health else "")
        _, record = one(made)
        assert record.shown.connection_statuses == (("CONNECTED",) if listing else ())


def test_a_number_that_is_masked_now_is_masked_in_every_text() -> None:
    """A reload to `phone_number_label: masked`, and answers to requests that left before it."""
    full, masked = number(), number(label="861*****00")
    digits = full.phone_number
    clock = FakeClock()
    made = state(clock, full)
    texts = (f"a {digits}", f"b {digits}", f"c {digits}", f"d {digits}")
    entry = ListedNumber(digits, *texts[:3], None, *texts[:3])
    health = Health(f"V {digits}", (HealthError(*texts),), f"R {digits}")
    for configured in (full, masked):
        configure(made, configured)
        for _ in range(2):
            _, record = one(made)
            told = f"{replace(record, number=masked, polls='')} {record.listing and record.listing.entry}"
            told += "" if record.listing is None or record.listing.entry is None else record.listing.entry.verified_name
            if configured is masked:
                assert digits not in told
            list_number(made, clock, entry)
            made.checked(full, health)
            made.check_failed(full, error(message=f"asked: {digits}"))
            made.succeeded(full, Answer(f"S {digits}", f"id {digits}", f"R {digits}"))
            made.failed(full, error(f"E {digits}", message=f"asked: {digits}"))
    details = made.details(masked.key)
    assert details is not None
    assert digits not in f"{details.polls}"


@pytest.mark.parametrize("step_seconds", [3600.0, -300.0])
def test_times_of_checks_move_along_when_the_wall_clock_is_stepped(step_seconds: float) -> None:
    clock = FakeClock()
    made = state(clock, number())
    made.checked(number(), BLOCKED)
    clock.advance(10)
    made.check_failed(number(), error())
    clock.advance(20)
    clock.now_unix += step_seconds
    health = health_of(made)
    assert (health.success_unix, health.since_unix) == (clock.now_unix - 30, clock.now_unix - 30)
    assert health.last_error is not None
    assert health.last_error.unix == clock.now_unix - 20


def test_a_snapshot_tells_monotonic_instants_as_unix_times() -> None:
    clock = FakeClock()
    made = state(clock, number())
    at = clock.now
    clock.advance(30)
    assert made.snapshot().unix_of(at) == clock.now_unix - 30


def listed(at: float) -> NumberState:
    """A number that the listing at `at` lacked."""
    return NumberState(number(), listing=Listing(False, at))


class TestTakeOver:
    """What an earlier process, or another replica, knew."""

    def test_a_listing_is_as_old_as_its_times_say(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        before = ShownValues(("BANNED",), ("PURPLE",), tuple(f"N{index}" for index in range(100)))
        known = Listing(False, clock.now - 60, clock.now - LISTING, ENTRY)
        theirs = [with_listing(NumberState(each, shown=before), known) for each in (number(), number(1))]
        assert made.take_over(theirs) == 1
        assert shown(made)[:2] == (False, ENTRY)
        _, record = one(made)
        assert record.shown[:2] == (("BANNED", "CONNECTED"), ("PURPLE",))
        assert record.shown.name_statuses == (*(f"N{index}" for index in range(85, 100)), "APPROVED")
        clock.advance(1)
        assert shown(made)[:2] == (False, None)

    def test_a_number_that_was_never_seen_has_no_entry(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        made.take_over([listed(clock.now)])
        _, record = one(made)
        assert record.listing == Listing(False, clock.now, -math.inf, None)

    def test_a_verdict_is_as_old_as_its_time_says(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        made.check_failed(number(), error())
        known = HealthState(BLOCKED, clock.now - HEALTH, clock.now_unix - HEALTH, clock.now_unix - 9000, ("ODD",))
        assert made.take_over([NumberState(number(), health=known)]) == 1
        assert shown(made)[2] == "BLOCKED"
        health = health_of(made)
        assert (health.success_unix, health.since_unix) == (known.success_unix, known.since_unix)
        assert health.shown == ("ODD",)
        assert health.last_error is not None
        clock.advance(1)
        assert shown(made)[2] == UNKNOWN

    def test_an_answer_of_this_process_is_never_replaced(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        list_number(made, clock)
        made.checked(number(), FINE)
        blocked = HealthState(BLOCKED, clock.now, clock.now_unix, clock.now_unix)
        assert made.take_over([listed(clock.now), NumberState(number(), health=blocked)]) == 0
        assert shown(made) == (True, ENTRY, "AVAILABLE")

    def test_accounts_without_discover_or_health_take_nothing_over(self) -> None:
        clock = FakeClock()
        made = state(clock, number())
        configure(made, number(), listing=False, health=False)
        blocked = HealthState(BLOCKED, clock.now, clock.now_unix, clock.now_unix)
        assert made.take_over([listed(clock.now), NumberState(number(), health=blocked)]) == 0
