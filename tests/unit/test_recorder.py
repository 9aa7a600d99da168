"""Results of polls are recorded."""

from __future__ import annotations

import pytest

from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import Answer
from exporter.polling.recorder import Recorder
from exporter.state.store import State
from tests.support.clock import FakeClock
from tests.support.numbers import number


def test_an_error_that_was_asked_for_by_the_full_number_is_logged_by_its_label(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request left before a reload that masks numbers, and its answer comes after it."""
    full, masked = number(), number(label="861*****00")
    state, counters = State(FakeClock()), Counters([])
    counters.register("main")
    state.configure([masked], {"main": 900.0})
    error = ApiError("InvalidParameter", Kind.NUMBER, message=f"no such number: {full.phone_number}")
    Recorder("main", state, counters).ended(masked, error, is_retry=False)
    (record,) = caplog.records
    facts = record.fields  # type: ignore[attr-defined] # logs.fields
    assert facts["error"] == "no such number: 861*****00"
    assert full.phone_number not in str(facts)


def test_a_number_that_is_answered_again_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The end of a failure is logged too."""
    caplog.set_level("INFO")
    state, counters = State(FakeClock()), Counters([])
    counters.register("main")
    state.configure([number()], {"main": 900.0})
    recorder = Recorder("main", state, counters)
    recorder.ended(number(), ApiError("timeout", Kind.TRANSIENT), is_retry=False)
    for _ in range(2):
        recorder.ended(number(), Answer("VERIFIED", "1", "R-1"), is_retry=False)
    assert [record.message for record in caplog.records].count("poll succeeded again") == 1
