"""What a scrape says of listings and health checks, line by line, and what of it is written again after a change."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from exporter.errors import ApiError, Kind
from exporter.metrics.exposition import Format
from exporter.metrics.number_chunks import CHUNK_NUMBERS, Chunk
from exporter.metrics.number_lines import FAMILIES
from exporter.model import AccountStatus, Answer, Health, HealthError, ListedNumber, Listing, PhoneNumber
from exporter.state.store import State
from tests.support.clock import FakeClock
from tests.support.exposing import Exposed
from tests.support.numbers import number, numbers

STALE_AFTER, LISTING, HEALTH = 900.0, 21_600.0, 1200.0
ENTRY = ListedNumber(number().phone_number, "CONNECTED", "GREEN", "TIER_1K", 1000.0, "APPROVED", "VERIFIED", "Contoso")
BLOCKED = Health("BLOCKED", (HealthError("WABA", "141006"), HealthError("BUSINESS", "141010")))


def configure(state: State, configured: list[PhoneNumber], *, discover: bool = True, health: bool = True) -> None:
    state.configure(
        configured,
        {"main": STALE_AFTER},
        listing_seconds={"main": LISTING} if discover else {},
        health_seconds={"main": HEALTH} if health else {},
    )


class Scraped(Exposed):
    """One number of an account with discover and health."""

    def __init__(self) -> None:
        super().__init__([AccountStatus("main", 1, 60.0, 0.0, 5.0, 5.0, 0)])
        configure(self.state, [number()])

    def list(self, entry: ListedNumber | None = ENTRY) -> None:
        """A listing of the space, now; without an entry it holds the number no longer."""
        record = self.state.get(number().key)
        old = record.listing if record is not None and record.listing else Listing(False, 0.0)
        now = self.clock.now
        self.state.listed(
            {number().key: Listing(True, now, now, entry) if entry else replace(old, listed=False, looked_at=now)}
        )

    def lines(self, family: str) -> dict[str, str]:
        """The labels after those that identify the number, to the value."""
        text = self.exposition.scrape(Format.TEXT).decode()
        found = re.findall(rf"^cams_phone_number_{family}{{(.*)}} (\S+)$", text, re.MULTILINE)
        own = re.compile(r'(?:account|cust_space_id|phone_number)="[^"]*",?')
        return {own.sub("", labels).rstrip(","): value for labels, value in found}

    def states(self, family: str) -> dict[str, str]:
        """The states of a state set to their values."""
        return {re.sub(r'\w+="(.*)"', r"\1", labels): value for labels, value in self.lines(family).items()}


LISTING_FAMILIES = ("listed", "connection_status", "quality_rating", "name_status", "messaging_limit")
FLEET_FAMILIES = (*LISTING_FAMILIES, "can_send", "health_error_info")


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_before_the_first_listing_and_check_there_are_no_series(scraped: Scraped) -> None:
    assert not any(scraped.lines(family) for family in FLEET_FAMILIES)


def test_a_listing_is_told_in_five_families(scraped: Scraped) -> None:
    scraped.list()
    assert {family: scraped.states(family) for family in LISTING_FAMILIES} == {
        "listed": {"": "1.0"},
        "connection_status": {"CONNECTED": "1.0"},
        "quality_rating": {"GREEN": "1.0", "YELLOW": "0.0", "RED": "0.0", "UNKNOWN": "0.0"},
        "name_status": {"APPROVED": "1.0"},
        "messaging_limit": {"": "1000.0"},
    }


def test_states_that_the_number_has_shown_stay_as_0(scraped: Scraped) -> None:
    """A rule that compares with an hour ago needs both series."""
    scraped.list(replace(ENTRY, quality_rating="PURPLE"))
    scraped.list(replace(ENTRY, connection_status="BANNED", name_status="DECLINED"))
    assert scraped.states("connection_status") == {"CONNECTED": "0.0", "BANNED": "1.0"}
    assert scraped.states("name_status") == {"APPROVED": "0.0", "DECLINED": "1.0"}
    assert scraped.states("quality_rating") == {
        "GREEN": "1.0",
        "YELLOW": "0.0",
        "RED": "0.0",
        "UNKNOWN": "0.0",
        "PURPLE": "0.0",
    }


def test_a_state_between_two_scrapes_is_told_too(scraped: Scraped) -> None:
    def change(state: str) -> None:
        scraped.list(replace(ENTRY, connection_status=state))
        scraped.state.checked(number(), Health(state))
        scraped.state.succeeded(number(), Answer(state, "1", "R"))

    change("A")
    scraped.exposition.scrape(Format.TEXT)
    change("B")
    change("A")
    for family in ("verification_status", "connection_status", "can_send"):
        states = scraped.states(family)
        assert (states["A"], states["B"]) == ("1.0", "0.0")


def test_what_the_api_does_not_say_is_no_state(scraped: Scraped) -> None:
    """But an unknown rating is one of the documented ratings."""
    scraped.list()
    scraped.list(ListedNumber(number().phone_number))
    assert scraped.states("listed") == {"": "1.0"}
    assert scraped.states("connection_status") == scraped.states("name_status") == {}
    assert scraped.states("quality_rating")["UNKNOWN"] == "1.0"
    assert scraped.states("messaging_limit") == {}


@pytest.mark.parametrize(
    ("limit", "text"), [(50.0, "50.0"), (100_000.0, "100000.0"), (1e6, "1e+06"), (math.inf, "+Inf")]
)
def test_a_messaging_limit_is_customers_a_day(scraped: Scraped, limit: float, text: str) -> None:
    scraped.list(replace(ENTRY, messaging_limit=limit))
    assert scraped.lines("messaging_limit") == {"": text}


def test_a_number_that_vanished_reads_0_and_its_last_entry_ages(scraped: Scraped) -> None:
    scraped.list()
    scraped.clock.advance(LISTING)
    scraped.list(None)
    assert scraped.states("listed") == {"": "0.0"}
    assert scraped.states("connection_status") == {"CONNECTED": "1.0"}
    scraped.clock.advance(1)
    assert scraped.states("listed") == {"": "0.0"}
    assert not any(scraped.lines(family) for family in LISTING_FAMILIES[1:])


def test_a_listing_that_is_too_old_leaves_only_the_verified_name(scraped: Scraped) -> None:
    """Without it, the series of the info metric would be another one."""
    scraped.list()
    scraped.clock.advance(LISTING + 1)
    assert not any(scraped.lines(family) for family in LISTING_FAMILIES)
    assert list(scraped.lines("info")) == ['name="",phone_number_id="",verified_name="Contoso"']


def test_an_account_without_discover_or_health_has_none_of_their_series(scraped: Scraped) -> None:
    scraped.list()
    scraped.state.checked(number(), BLOCKED)
    configure(scraped.state, [number()], health=False)
    assert scraped.lines("listed")
    assert not scraped.lines("can_send")
    configure(scraped.state, [number()], discover=False)
    assert not any(scraped.lines(family) for family in FLEET_FAMILIES)
    assert list(scraped.lines("info")) == ['name="",phone_number_id="",verified_name=""']


def test_a_verdict_and_each_of_its_errors_have_series(scraped: Scraped) -> None:
    scraped.state.checked(number(), BLOCKED)
    assert scraped.states("can_send") == {"AVAILABLE": "0.0", "LIMITED": "0.0", "BLOCKED": "1.0", "UNKNOWN": "0.0"}
    assert scraped.lines("health_error_info") == {
        'entity="WABA",error_code="141006"': "1.0",
        'entity="BUSINESS",error_code="141010"': "1.0",
    }
    scraped.state.checked(number(), Health("PAUSED"))
    scraped.state.checked(number(), Health("AVAILABLE"))
    assert scraped.states("can_send") == {
        "AVAILABLE": "1.0",
        "LIMITED": "0.0",
        "BLOCKED": "0.0",
        "UNKNOWN": "0.0",
        "PAUSED": "0.0",
    }
    assert scraped.lines("health_error_info") == {}


def test_errors_that_read_the_same_have_one_series(scraped: Scraped) -> None:
    """Two equal series would break the scrape."""
    same = (HealthError("WABA", "1", "a"), HealthError("WABA", "1", "b"))
    scraped.state.checked(number(), Health("BLOCKED", same))
    assert scraped.exposition.scrape(Format.TEXT).count(b"\ncams_phone_number_health_error_info{") == 1


def test_a_verdict_that_is_too_old_reads_unknown_without_errors(scraped: Scraped) -> None:
    scraped.state.checked(number(), BLOCKED)
    scraped.clock.advance(HEALTH + 1)
    assert scraped.states("can_send") == {"AVAILABLE": "0.0", "LIMITED": "0.0", "BLOCKED": "0.0", "UNKNOWN": "1.0"}
    assert scraped.lines("health_error_info") == {}
    scraped.state.set_health({}, {"main"})
    assert scraped.lines("can_send") == {}
    scraped.state.set_health({"main": 2 * HEALTH}, ())
    assert scraped.states("can_send")["BLOCKED"] == "1.0"
    assert len(scraped.lines("health_error_info")) == 2


class Kept:
    """A chunk of lines, and which families were written again since the last look."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state = State(self.clock)
        self.numbers = numbers(CHUNK_NUMBERS)
        configure(self.state, self.numbers)
        self.chunk = Chunk()
        self.parts: dict[str, object] = {}

    def list(self, entry: ListedNumber) -> None:
        now = self.clock.now
        self.state.listed({one.key: Listing(True, now, now, entry) for one in self.numbers})

    def written(self) -> set[str]:
        snapshot = self.state.snapshot()
        self.chunk.update(snapshot.numbers, snapshot)
        before, self.parts = self.parts, {FAMILIES[i][0].name: self.chunk.part(i) for i in range(len(FAMILIES))}
        return {
            name.removeprefix("cams_phone_number_") for name, part in self.parts.items() if part is not before.get(name)
        }


def test_only_the_families_that_changed_are_written_again() -> None:
    """A scrape's cost is what changed since the last one: a refresh that says the same changes nothing."""
    kept = Kept()
    kept.list(ENTRY)
    for one in kept.numbers:
        kept.state.checked(one, BLOCKED)
    kept.written()
    assert kept.written() == set()
    kept.clock.advance(300)
    kept.list(replace(ENTRY))
    kept.state.checked(kept.numbers[0], replace(BLOCKED, request_id="R-2"))
    kept.state.check_failed(kept.numbers[0], ApiError("timeout", Kind.TRANSIENT))
    assert kept.written() == set()
    kept.state.checked(kept.numbers[0], Health("LIMITED", BLOCKED.errors))
    assert kept.written() == {"can_send"}
    kept.list(replace(ENTRY, quality_rating="RED", messaging_limit=250.0))
    assert kept.written() == {"quality_rating", "messaging_limit"}
    kept.list(replace(ENTRY, quality_rating="RED", messaging_limit=250.0, verified_name="Contoso Ltd"))
    assert kept.written() == {"info"}
    kept.state.succeeded(kept.numbers[0], Answer("VERIFIED", "", "R"))
    assert kept.written() == {
        "verification_status",
        "last_poll_success",
        "last_success_timestamp_seconds",
        "status_change_timestamp_seconds",
    }


def test_only_what_became_too_old_is_written_again() -> None:
    kept = Kept()
    kept.list(ENTRY)
    for one in kept.numbers:
        kept.state.succeeded(one, Answer("VERIFIED", "", "R"))
        kept.state.checked(one, BLOCKED)
    kept.written()
    for seconds, written in (
        (STALE_AFTER, set()),
        (1, {"verification_status"}),
        (HEALTH - STALE_AFTER, {"can_send", "health_error_info"}),
        (LISTING, set(LISTING_FAMILIES)),
        (LISTING, set()),
    ):
        kept.clock.advance(seconds)
        assert kept.written() == written
