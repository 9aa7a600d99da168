"""What replicas tell each other of a number: text with ages, read with care."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cluster.answers import records
from exporter.cluster.answers.mail import MAX_WRITTEN, Mail
from exporter.cluster.store.calls import MAX_PAYLOAD_BYTES, Exchange
from exporter.cluster.store.replies import StoreError, parsed
from exporter.errors import ApiError, Kind
from exporter.model import Answer, NumberKey, PhoneNumber
from exporter.state.history import Poll, polls_in
from exporter.state.merging import merged
from exporter.state.store import MAX_EXTRA_STATUSES, NumberState, State
from tests.support.clock import FakeClock

NUMBER = PhoneNumber("main", "cams-1", "8613800001234", "8613800001234")
HASHED = replace(NUMBER, label="0123456789ab")


def recorded(clock: FakeClock, *outcomes: Answer | ApiError, number: PhoneNumber = NUMBER) -> NumberState:
    """The record of a number after these polls, a minute apart; the last one was 30 s ago."""
    state = State(clock)
    state.configure([number], {number.account: 900.0})
    for outcome in outcomes:
        clock.advance(60)
        if isinstance(outcome, Answer):
            state.succeeded(number, outcome)
        else:
            state.failed(number, outcome)
    clock.advance(30)
    record = state.get(number.key)
    assert record is not None
    return record


def relayed(
    record: NumberState, writer: FakeClock, reader: FakeClock, on_the_way: float = 0.0, number: PhoneNumber = NUMBER
) -> NumberState:
    payload = records.encoded(record, writer.monotonic(), writer.unix())
    return records.decoded(parsed(payload), number, on_the_way, reader.monotonic(), reader.unix())


VERIFIED = Answer("VERIFIED", "id-1", "request-1", 0.1)
LIMITED = Answer("LIMITED", "id-1", "request-2", 0.1)
TIMEOUT = ApiError("timeout", Kind.TRANSIENT, message="no answer for 8613800001234 in time", http_status=504)


def test_ages_are_handed_on_whatever_the_clocks_say() -> None:
    """The reader's clocks are hours off; each part is as old as it is."""
    writer, reader = FakeClock(), FakeClock(now=5e6, now_unix=1_700_000_000.0)
    mine = relayed(recorded(writer, VERIFIED, VERIFIED, TIMEOUT), writer, reader, on_the_way=7.0)
    assert mine.status == "VERIFIED"
    assert mine.success_at == pytest.approx(5e6 - 97)
    assert mine.success_unix == pytest.approx(1_700_000_000 - 97)
    assert mine.status_since_unix == pytest.approx(1_700_000_000 - 157)
    assert mine.last_poll_success is False
    assert mine.last_poll_unix == pytest.approx(1_700_000_000 - 37)
    assert mine.last_error is not None
    assert (mine.last_error.code, mine.last_error.http_status) == ("timeout", 504)
    assert mine.last_error.unix == pytest.approx(1_700_000_000 - 37)


def test_a_number_that_was_never_answered_stays_unknown() -> None:
    clock = FakeClock()
    assert relayed(recorded(clock, TIMEOUT), clock, clock).status == ""
    never = relayed(recorded(clock), clock, clock)
    assert (never.last_poll_success, never.success_at) == (None, -math.inf)


def test_the_number_is_hidden_where_this_configuration_hides_it() -> None:
    """Whatever the writer's configuration says."""
    clock = FakeClock()
    record = relayed(recorded(clock, VERIFIED, TIMEOUT), clock, clock, number=HASHED)
    assert record.last_error is not None
    assert record.last_error.message == "no answer for 0123456789ab in time"
    assert NUMBER.phone_number not in repr(record)


def test_a_key_keeps_any_text() -> None:
    key = NumberKey('a "name"', "space/ü", "86138")
    assert records.key_of(records.key_text(key)) == key


@pytest.mark.parametrize("text", ["", "[]", '["number"]', '["number","a","b",1]', '{"a":1}', "[" * 100_000])
def test_a_key_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        records.key_of(text)


NO_MORE = [None] * 4
GOOD = ["VERIFIED", ["LIMITED"], "id", 10.0, 20.0, False, 5.0, ["timeout", "text", None, "request", 5.0], *NO_MORE]


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, None),
        (0, 7),
        (0, " "),
        (0, ""),
        (1, "LIMITED"),
        (1, [1]),
        (1, ["X"] * (MAX_EXTRA_STATUSES + 1)),
        (2, {}),
        (3, None),
        (3, -1.0),
        (3, 1e300),
        (3, "10"),
        (3, True),
        (4, math.nan),
        (5, 1),
        (5, None),
        (6, None),
        (7, []),
        (7, ["timeout", 7, None, "request", 5.0]),
        (7, ["timeout", "text", True, "request", 5.0]),
        (7, ["timeout", "text", None, "request", None]),
    ],
)
def test_an_answer_of_another_shape_is_refused(index: int, value: object) -> None:
    payload: list[object] = list(GOOD)
    payload[index] = value
    with pytest.raises(StoreError):
        records.decoded(parsed(json.dumps(payload).encode()), NUMBER, 0.0, 1000.0, 2000.0)
    records.decoded(parsed(json.dumps(GOOD).encode()), NUMBER, 0.0, 1000.0, 2000.0)


JSON = st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps).map(str.encode)


def test_parts_that_a_newer_version_adds_are_ignored() -> None:
    error = ["timeout", "text", None, "request", 5.0, "new"]
    payload = [*GOOD[:7], error, None, None, None, [0.1, "R", "new"], {"new": True}]
    record = records.decoded(parsed(json.dumps(payload).encode()), NUMBER, 0.0, 1000.0, 2000.0)
    assert record.status == "VERIFIED"
    assert record.last_error is not None
    assert record.last_error.code == "timeout"


@given(st.one_of(st.binary(), JSON))
def test_no_payload_raises_anything_else(payload: bytes) -> None:
    with contextlib.suppress(StoreError):
        records.decoded(parsed(payload), NUMBER, 0.0, 1000.0, 2000.0)


def test_hostile_texts_are_bounded_and_on_one_line() -> None:
    error = ["c\n" * 999, "m\n" * 9999, 1, "r", 1]
    payload = ["V" * 9999, ["E" * 9999], "i" * 9999, 1, 1, False, 1, error, *NO_MORE]
    record = records.decoded(parsed(json.dumps(payload).encode()), NUMBER, 0.0, 1000.0, 2000.0)
    assert record.last_error is not None
    texts = [record.status, *record.extra_statuses, record.phone_number_id, record.last_error.code]
    assert max(map(len, texts)) <= 128
    assert "\n" not in record.last_error.code + record.last_error.message


def test_an_answer_fits_into_the_store() -> None:
    """Also the longest one that this exporter keeps, in text that takes most bytes."""
    clock = FakeClock()
    longest = [Answer(f"{index:04}" + "\x01" * 124, "\x01" * 128, "", 0.1) for index in range(MAX_EXTRA_STATUSES + 1)]
    error = ApiError("\x01" * 128, Kind.TRANSIENT, message="\x01" * 500, request_id="\x01" * 128)
    record = recorded(clock, *longest, error)
    assert len(records.encoded(record, clock.monotonic(), clock.unix())) <= MAX_PAYLOAD_BYTES


# What is newer


def test_the_newer_status_and_the_newer_poll_count_each_for_itself() -> None:
    clock = FakeClock()
    older = recorded(clock, VERIFIED)
    newer = relayed(recorded(clock, VERIFIED, LIMITED, TIMEOUT), clock, clock)
    found = merged(older, newer)
    assert (found.status, found.extra_statuses, found.last_poll_success) == ("LIMITED", ("LIMITED",), False)
    assert merged(newer, older) is newer
    failed_later = recorded(clock, TIMEOUT)
    both = merged(newer, failed_later)
    assert (both.status, both.success_at, both.last_poll_unix) == (
        "LIMITED",
        newer.success_at,
        failed_later.last_poll_unix,
    )


def test_a_status_that_stays_keeps_the_time_since_when_it_is_known() -> None:
    clock = FakeClock()
    mine = recorded(clock, VERIFIED)
    theirs = recorded(clock, VERIFIED)
    assert merged(mine, theirs).status_since_unix == mine.status_since_unix
    assert merged(mine, theirs).success_unix == theirs.success_unix
    assert merged(mine, recorded(clock, LIMITED)).status_since_unix != mine.status_since_unix


def test_the_last_polls_of_all_replicas_are_known_with_their_request_ids() -> None:
    """Whoever is on call asks Alibaba's support about them, and looks at any replica."""
    writer, reader = FakeClock(), FakeClock(now=5e6, now_unix=1_700_000_000.0)
    state = State(writer)
    state.configure([NUMBER], {"main": 900.0})
    mine = NumberState(HASHED)
    for outcome in (VERIFIED, LIMITED, ApiError("X", Kind.NUMBER, request_id="R-8613800001234", http_status=400)):
        for clock in (writer, reader):
            clock.advance(60)
        if isinstance(outcome, Answer):
            state.succeeded(NUMBER, outcome)
        else:
            state.failed(NUMBER, outcome)
        record = state.get(NUMBER.key)
        assert record is not None
        for on_the_way in (0.2, 0.0, 0.4):  # in a new epoch all tell it once more
            mine = merged(mine, relayed(record, writer, reader, on_the_way, HASHED))
    found = [poll._replace(unix=round(reader.monotonic() - poll.unix)) for poll in polls_in(mine.polls, 0.0)]
    assert found == [
        Poll(0, False, "X", 0.0, "R-0123456789ab", 400),
        Poll(60, True, "LIMITED", 0.1, "request-2"),
        Poll(120, True, "VERIFIED", 0.1, "request-1"),
    ]


@pytest.mark.parametrize("value", [7, [], ["1", "R"], [-1.0, "R"], [1e9, "R"], [0.1, None]])
def test_a_last_poll_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(StoreError):
        records.decoded(parsed(json.dumps([*GOOD[:11], value]).encode()), NUMBER, 0.0, 1000.0, 2000.0)


# The outbox

KEYS = [NumberKey("main", "cams-1", str(index)) for index in range(MAX_WRITTEN + 50)]


def exchange(count: int = 1, now_ms: int = 0, *, is_all: bool = True) -> Exchange:
    return Exchange(now_ms, str(count), (), is_all)


def test_a_number_is_written_once_however_often_it_was_polled() -> None:
    mail = Mail()
    mail.post(KEYS[:3] * 5)
    assert mail.batch() == tuple(KEYS[:3])
    assert mail.batch() == ()
    mail.post(KEYS[:3])
    assert mail.batch() == tuple(KEYS[:3])


def test_a_batch_is_bounded() -> None:
    mail = Mail()
    mail.post(KEYS)
    assert (len(mail.batch()), len(mail.batch())) == (MAX_WRITTEN, 50)


def test_in_a_new_epoch_all_is_read_and_written_again() -> None:
    mail = Mail()
    mail.enter("one", KEYS[:2])
    assert mail.batch() == tuple(KEYS[:2])
    mail.read(exchange(7), asked_at=100.0)
    mail.enter("one", KEYS[:2])
    assert (mail.since, mail.batch()) == ("7", ())
    mail.enter("two", KEYS[:2])
    assert (mail.since, mail.batch()) == ("0", tuple(KEYS[:2]))


def test_a_clock_of_the_store_that_was_set_makes_no_answer_older_than_the_last_read() -> None:
    mail = Mail()
    mail.enter("one", ())
    assert mail.age_seconds(exchange(now_ms=90_000), 30_000, now=100.0) == 60.0  # at the start only the store knows
    mail.read(exchange(), asked_at=100.0)
    assert mail.age_seconds(exchange(now_ms=90_000), 30_000, now=100.5) == 0.5
    assert mail.age_seconds(exchange(now_ms=90_000), 89_900, now=100.5) == pytest.approx(0.1)
    assert mail.age_seconds(exchange(now_ms=0), 30_000, now=100.5) == 0.0
    mail.read(exchange(is_all=False), asked_at=101.0)  # something from before may be left
    assert mail.age_seconds(exchange(now_ms=90_000), 30_000, now=102.0) == 2.0
