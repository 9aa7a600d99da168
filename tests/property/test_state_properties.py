"""A number that is hidden now is shown nowhere, whatever the API and the configuration said of it before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ApiError, Kind
from exporter.metrics.exposition import Format
from exporter.model import AccountStatus, Answer, Health, HealthError, ListedNumber, Listing, PhoneNumber
from tests.support.exposing import Exposed
from tests.support.numbers import number

FULL = number()
DIGITS = FULL.phone_number
SHOWN_AS = (FULL, number(label="861380*****00"), number(label="0a1b2c3d4e5f"))
"""The number with each `phone_number_label`."""

Step = Callable[[Exposed], object]
TEXTS = st.sampled_from(
    [DIGITS, f"call {DIGITS}", f"+{DIGITS} and {DIGITS}", f"{DIGITS[:-1]}", "CONNECTED", "VERIFIED"]
)


def configured(exposed: Exposed, as_now: PhoneNumber) -> None:
    exposed.state.configure([as_now], {"main": 900.0}, listing_seconds={"main": 900.0}, health_seconds={"main": 900.0})


def polled(text: str, asked: PhoneNumber) -> Step:
    """An answer holds the label that the number had when the request left."""
    safe = asked.redacted(text)
    return lambda exposed: exposed.state.succeeded(asked, Answer(safe, safe, safe))


def failed(text: str, asked: PhoneNumber, *, check: bool) -> Step:
    safe = asked.redacted(text)
    error = ApiError(safe, Kind.NUMBER, message=safe, request_id=safe)
    return lambda exposed: (exposed.state.check_failed if check else exposed.state.failed)(asked, error)


def checked(text: str, asked: PhoneNumber) -> Step:
    safe = asked.redacted(text)
    return lambda exposed: exposed.state.checked(asked, Health(safe, (HealthError(*[safe] * 4),), safe))


def listed(text: str) -> Step:
    entry = ListedNumber(DIGITS, text, text, text, 50.0, text, text, text)
    return lambda exposed: exposed.state.listed({FULL.key: Listing(True, exposed.clock.now, exposed.clock.now, entry)})


def later(seconds: float) -> Step:
    return lambda exposed: exposed.clock.advance(seconds)


ASKED = st.sampled_from(SHOWN_AS)
TOLD = st.one_of(
    st.builds(polled, TEXTS, ASKED),
    st.builds(failed, TEXTS, ASKED, check=st.booleans()),
    st.builds(checked, TEXTS, ASKED),
    st.builds(listed, TEXTS),
    st.builds(later, st.sampled_from([1.0, 1000.0])),
)
RELOADS = st.builds(lambda as_now: lambda exposed: configured(exposed, as_now), ASKED)


@given(st.lists(st.one_of(TOLD, RELOADS), max_size=8), st.sampled_from(SHOWN_AS[1:]), st.lists(TOLD, max_size=5))
def test_a_hidden_number_is_in_no_text_of_its_record_and_in_no_series(
    before: list[Step], hidden: PhoneNumber, after: list[Step]
) -> None:
    """`after`: answers to requests that left before the reload that hides it, too."""
    exposed = Exposed([AccountStatus("main", 1, 60.0, 0.0, 5.0, 5.0, 0)])
    for step in (lambda one: configured(one, FULL), *before, lambda one: configured(one, hidden), *after):
        step(exposed)
        exposed.exposition.scrape(Format.TEXT)
    details = exposed.state.details(FULL.key)
    assert details is not None
    record = details.record
    entry = record.listing.entry if record.listing else None
    assert DIGITS not in f"{replace(record, polls='')} {details.polls} {entry.verified_name if entry else ''}"
    text = exposed.exposition.scrape(Format.TEXT)
    assert DIGITS not in text.decode()
    assert text == exposed.reference(Format.TEXT)
