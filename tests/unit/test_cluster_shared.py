"""What two processes tell each other over a store: numbers, found numbers, verdicts, how accounts and spaces do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from exporter.cluster.answers import accounts, records
from exporter.cluster.answers.records import Key
from exporter.cluster.answers.shared import (
    GONE,
    MAX_TOLD,
    MAX_TOLD_BYTES,
    RETELL_SECONDS,
    Shared,
)
from exporter.config.numbers import redact
from exporter.model import (
    AccountStatus,
    Answer,
    DiscoveryStatus,
    Health,
    HealthError,
    ListedNumber,
    Listing,
    NumberKey,
    OperationStatus,
    PhoneNumber,
    Refused,
    SpaceStatus,
    Throttled,
)
from exporter.scrape_priority import ScrapePriority
from exporter.state.found import Absence
from exporter.state.store import NumberState, State
from exporter.state.waiting import MAX_WAITING_BYTES, WAIT_SECONDS
from tests.support.clock import FakeClock

NUMBER = PhoneNumber("main", "cams-1", "8613800001234", "8613800001234")
NEW = PhoneNumber("main", "cams-2", "8613800005678", "8613800005678", found=True)
ENTRY = ListedNumber(NUMBER.phone_number, "CONNECTED", "GREEN", "TIER_1K", 1000.0, "APPROVED", "VERIFIED", "Shop")
REFUSED = Refused("Forbidden.RAM", "No permission.", "R-1")
STATUS = AccountStatus("main", 3, 60.0, 4.25, 5.0, 5.0, 1, spaces=("cams-1", "cams-2"))


class Process:
    """One process: implements `shared.Found` and `shared.Holdings`, and delivers what it writes."""

    def __init__(self, clock: FakeClock, *numbers: PhoneNumber) -> None:
        self.clock = clock
        self.state = State(clock)
        self.use(*numbers)
        self.priority = ScrapePriority(clock)
        self.polls_waited: list[bool] = []
        self.shared = Shared(self.state, self, self, clock, self.priority, redact)
        self.posted: list[Key] = []
        self.shared.post = self.posted.append
        self.state.changed = lambda key: self.posted.append(("number", *key))
        self.absences: dict[NumberKey, Absence] = {}
        self.heard_of: dict[NumberKey, tuple[Listing, Absence]] = {}
        self.forgot: list[NumberKey] = []
        self.statuses: dict[str, tuple[AccountStatus, int]] = {}

    def use(self, *numbers: PhoneNumber) -> None:
        ages = {"main": 900.0}
        self.state.configure(numbers, ages, listing_seconds=ages, health_seconds=ages)

    def absence(self, key: NumberKey) -> Absence | None:
        self.polls_waited.append(self.priority.polls_wait)
        return self.absences.get(key)

    def candidate(self, key: NumberKey) -> PhoneNumber | None:
        self.polls_waited.append(self.priority.polls_wait)
        return None if key.cust_space_id == "excluded" else PhoneNumber(*key, key.phone_number, found=True)

    def heard(self, number: PhoneNumber, listing: Listing, absence: Absence) -> None:
        self.heard_of[number.key] = listing, absence

    def forgotten(self, key: NumberKey) -> None:
        self.forgot.append(key)

    def polls(self, account: str) -> bool:
        return account in self.statuses

    def held_statuses(self) -> Mapping[str, tuple[AccountStatus, int]]:
        self.polls_waited.append(self.priority.polls_wait)
        return self.statuses

    def tells(self, other: Process, seconds: float = 0.0) -> None:
        """Deliver everything that was posted, so many seconds later."""
        told = self.shared.written(list(dict.fromkeys(self.posted)))
        other.shared.read(
            [(records.key_of(records.key_text(key)), payload, seconds) for key, (_, payload) in told.items()]
        )
        self.posted.clear()

    def record(self, number: PhoneNumber = NUMBER) -> NumberState:
        found = self.state.get(number.key)
        assert found is not None
        return found


@pytest.fixture
def one() -> Process:
    return Process(FakeClock(), NUMBER)


@pytest.fixture
def two() -> Process:
    return Process(FakeClock(now=7e6, now_unix=1_700_000_000.0), NUMBER)


def test_listings_and_verdicts_travel_with_their_ages(one: Process, two: Process) -> None:
    health = Health("BLOCKED", (HealthError("WABA", "141014", "Limit.", "Wait."),), "R-2")
    one.state.listed({NUMBER.key: Listing(False, one.clock.now - 10, one.clock.now - 20, ENTRY)})
    one.state.checked(NUMBER, health)
    one.clock.advance(30)
    one.tells(two, 5.0)
    record = two.record()
    assert record.listing == Listing(False, pytest.approx(7e6 - 45), pytest.approx(7e6 - 55), ENTRY)  # type: ignore[arg-type]
    assert record.shown.connection_statuses == ("CONNECTED",)
    assert record.health is not None
    assert record.health.answer == health
    assert record.health.success_at == pytest.approx(7e6 - 35)
    assert record.health.since_unix == pytest.approx(1_700_000_000 - 35)
    assert two.posted == []  # what was told is not told again


def test_an_older_listing_or_verdict_changes_nothing(one: Process, two: Process) -> None:
    one.state.listed({NUMBER.key: Listing(True, one.clock.now, one.clock.now, ENTRY)})
    one.state.checked(NUMBER, Health("BLOCKED"))
    two.state.listed({NUMBER.key: Listing(False, two.clock.now)})
    two.state.checked(NUMBER, Health("AVAILABLE"))
    before = two.record()
    one.tells(two, 60.0)
    after = two.record()
    assert after.health == before.health
    assert after.listing == before.listing
    two.state.listed({NUMBER.key: Listing(True, two.clock.now - 60)})  # as where found numbers are put in force
    assert two.record().listing == before.listing


def test_a_listing_that_brings_nothing_new_is_not_told_by_itself(one: Process) -> None:
    """It travels with the next poll: else each listing would write all its numbers."""
    one.state.listed({NUMBER.key: Listing(True, 1.0, 1.0, ENTRY)})
    assert one.posted == [("number", *NUMBER.key)]
    one.state.listed({NUMBER.key: Listing(True, 2.0, 2.0, replace(ENTRY))})
    assert len(one.posted) == 1
    one.state.listed({NUMBER.key: Listing(False, 3.0, 2.0, ENTRY)})
    assert len(one.posted) == 2


def test_a_found_number_waits_until_it_is_in_force(one: Process, two: Process) -> None:
    one.use(NUMBER, NEW)
    one.absences[NEW.key] = Absence(missing_seconds=12.0)
    one.state.listed({NEW.key: Listing(True, one.clock.now, one.clock.now, replace(ENTRY, phone_number="x"))})
    one.state.succeeded(NEW, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    listing, absence = two.heard_of[NEW.key]
    assert (listing.listed, absence.missing_seconds) == (True, 12.0)
    two.clock.advance(2)
    two.use(NUMBER, NEW)
    assert two.record(NEW).status == "VERIFIED"
    assert two.record(NEW).success_at == pytest.approx(two.clock.now - 2)


def test_of_a_number_that_waits_the_newest_entry_counts(one: Process, two: Process) -> None:
    """Its first poll often ends before the other replica has put the number in force."""
    one.use(NUMBER, NEW)
    one.absences[NEW.key] = Absence()
    one.state.listed({NEW.key: Listing(True, one.clock.now, one.clock.now, ENTRY)})
    one.tells(two)
    one.state.succeeded(NEW, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    two.use(NUMBER, NEW)
    assert two.record(NEW).status == "VERIFIED"


def test_what_waits_is_bounded_in_bytes(one: Process, two: Process) -> None:
    one.use(NEW)
    one.absences[NEW.key] = Absence()
    one.state.succeeded(NEW, Answer("VERIFIED", "id", "R"))
    ((_, payload),) = one.shared.written([("number", *NEW.key)]).values()
    padded = payload + b" " * (1 << 20)
    found = [replace(NEW, phone_number=f"86138{index:08}") for index in range(MAX_WAITING_BYTES // len(padded) + 2)]

    def read(*numbers: PhoneNumber) -> None:
        two.shared.read([(("number", *number.key), padded, 0.0) for number in numbers])

    def known() -> list[PhoneNumber]:
        two.use(*found)
        return [number for number in found if two.record(number).status == "VERIFIED"]

    read(found[0], *found)  # the second entry of a number takes the place of the first
    assert known() == found[:-1]
    two.use()
    read(*found)
    two.clock.advance(WAIT_SECONDS)
    read(*found[1:])  # the others have waited for long enough
    assert known() == found[1:]


def test_a_number_that_may_not_be_found_here_is_left_out(one: Process, two: Process) -> None:
    excluded = replace(NEW, cust_space_id="excluded")
    one.use(excluded)
    one.absences[excluded.key] = Absence()
    one.state.succeeded(excluded, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    assert two.heard_of == {}
    two.use(excluded)
    assert two.record(excluded).status == ""


def test_what_waits_is_forgotten_after_a_while(one: Process, two: Process) -> None:
    one.use(NEW)
    one.absences[NEW.key] = Absence()
    one.state.succeeded(NEW, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    two.clock.advance(WAIT_SECONDS + 1)
    two.use(NEW)
    assert two.record(NEW).status == ""


def test_a_number_that_the_holder_polls_no_more_is_gone_everywhere(one: Process, two: Process) -> None:
    one.use()
    one.shared.gone([NUMBER.key])
    one.tells(two)
    assert two.forgot == [NUMBER.key]
    one.use(NUMBER)  # it was found again
    one.state.succeeded(NUMBER, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    assert two.record().status == "VERIFIED"
    one.use()  # and left the configuration of this replica alone
    assert one.shared.written([("number", *NUMBER.key)]) == {}


def test_who_polls_an_account_forgets_no_number_for_another(one: Process, two: Process) -> None:
    """The holder before may be late, when the number is listed again already."""
    one.use()
    two.statuses = {"main": (STATUS, 0)}
    one.shared.gone([NUMBER.key])
    one.tells(two)
    assert two.forgot == []


def status(**changes: object) -> AccountStatus:
    spaces = {"cams-1": SpaceStatus(3, 1_764_000_000.0 - 40, attempted=True), "cams-2": SpaceStatus(error=REFUSED)}
    return replace(
        STATUS,
        refused=REFUSED,
        refused_spaces={"cams-2": REFUSED},
        operations=(OperationStatus("A"), OperationStatus("B", up=False, refused=REFUSED)),
        health_seconds=300.0,
        discovery=DiscoveryStatus(spaces, left_out=7),
        **changes,  # type: ignore[arg-type]
    )


def test_how_an_account_does_is_what_its_holder_says(one: Process, two: Process) -> None:
    told = status()
    one.statuses = {"main": (told, 2)}
    one.clock.now_unix = 1_764_000_000.0
    one.shared.begin()
    one.tells(two, 5.0)
    own = AccountStatus("main", 99, 15.0, 1000.0, 5.0, 5.0, 4, spaces=("cams-1", "cams-2"))
    seen = two.shared.told(own)
    assert seen is not None
    assert (seen.phone_numbers, seen.scrape_interval_seconds, seen.lag_seconds, seen.in_flight) == (3, 60.0, 4.25, 0)
    assert (seen.refused, seen.refused_spaces, seen.operations) == (REFUSED, told.refused_spaces, told.operations)
    assert (seen.health_seconds, seen.is_held) == (300.0, False)
    assert seen.discovery is not None
    assert seen.discovery.left_out == 7
    assert seen.discovery.spaces["cams-2"].error == REFUSED
    assert seen.discovery.spaces["cams-1"].success_unix == pytest.approx(1_700_000_000 - 45)
    assert two.shared.unlisted("main") == 2


@pytest.mark.parametrize(
    ("throttled", "then"),
    [
        (Throttled(until=30.0), Throttled(until=20.0)),
        (Throttled(30.0, 2.5, climbs_from=30.0), Throttled(20.0, 2.5, climbs_from=20.0)),
        (Throttled(-5.0, 2.5, climbs_from=-5.0), Throttled(-10.0, 2.5, climbs_from=-15.0)),
    ],
    ids=["paused", "paused and halved", "climbs"],
)
def test_what_throttles_left_of_the_rate_travels_with_its_age(
    one: Process, two: Process, throttled: Throttled, then: Throttled
) -> None:
    """Instants are since now; the entry is 10 s old when it is read."""
    now = one.clock.now
    mine = Throttled(now + throttled.until, throttled.qps, now + throttled.climbs_from)
    one.statuses = {"main": (replace(STATUS, throttled=mine), 0)}
    one.shared.begin()
    one.tells(two, 10.0)
    found = two.shared.told(STATUS)
    assert found is not None
    now = two.clock.now
    assert found.throttled == Throttled(now + then.until, then.qps, now + then.climbs_from)


def test_an_account_is_told_when_it_changes_and_not_each_second(one: Process) -> None:
    one.statuses = {"main": (STATUS, 0)}
    one.shared.begin()
    assert one.posted == [("account", "main")]
    for lag_seconds, posts in ((4.3, 1), (4.4, 1), (9.0, 2)):
        one.clock.advance(1)
        one.statuses = {"main": (replace(STATUS, lag_seconds=lag_seconds), 0)}
        one.shared.begin()
        assert len(one.posted) == posts


def test_what_does_not_change_is_told_again_before_the_store_forgets_it(one: Process) -> None:
    one.statuses = {"main": (STATUS, 0)}
    one.shared.begin()
    one.posted.clear()
    one.clock.advance(RETELL_SECONDS)
    one.shared.begin()
    assert one.posted == [("account", "main")]


def test_what_a_garbled_store_tells_is_bounded(one: Process) -> None:
    payload = accounts.encoded_account(accounts.told(STATUS, 0), 0.0)
    names = [*map(str, range(MAX_TOLD)), "one more"]
    one.shared.read([(("account", name), payload, 0.0) for name in names])
    told = [name for name in names if one.shared.told(replace(STATUS, account=name)) is not None]
    assert told == names[:-1]
    changed = accounts.encoded_account(accounts.told(replace(STATUS, phone_numbers=4), 0), 0.0)
    one.shared.read([(("account", "7"), changed, 0.0)])
    seen = one.shared.told(replace(STATUS, account="7"))
    assert seen is not None
    assert seen.phone_numbers == 4  # what is kept still changes
    one.statuses = {"8": (STATUS, 0)}  # held here from now on
    one.shared.begin()
    one.shared.read([(("account", "one more"), payload, 0.0)])
    assert one.shared.told(replace(STATUS, account="one more")) is not None


def test_what_a_garbled_store_tells_is_bounded_in_bytes_too(one: Process) -> None:
    payload = accounts.encoded_account(accounts.told(STATUS, 0), 0.0) + b" " * (1 << 20)
    names = [*map(str, range(MAX_TOLD_BYTES // len(payload))), "one more"]
    one.shared.read([(("account", name), payload, 0.0) for name in names])
    assert [name for name in names if one.shared.told(replace(STATUS, account=name)) is not None] == names[:-1]
    one.shared.read([(("account", names[0]), payload[: -(1 << 20)], 0.0), (("account", "one more"), payload, 0.0)])
    assert one.shared.told(replace(STATUS, account="one more")) is not None


def test_what_is_told_of_an_account_shows_phone_numbers_only_as_this_replica_does(one: Process, two: Process) -> None:
    """The holder may show them in full: its configuration may be older."""
    identity = "01234567-89AB-CDEF-0123-456789012345"
    refused = Refused("Forbidden.RAM", "No permission for +86 138-0000-1234.", identity)
    one.statuses = {"main": (replace(status(), refused=refused, refused_spaces={"cams-2": refused}), 0)}
    one.shared.begin()
    one.tells(two)
    seen = two.shared.told(STATUS)
    assert seen is not None
    hidden = replace(refused, message="No permission for +861380*****34.")
    assert (seen.refused, seen.refused_spaces) == (hidden, {"cams-2": hidden})


def test_a_space_that_is_gone_is_gone_everywhere_unless_another_replica_holds_the_account(
    one: Process, two: Process
) -> None:
    one.statuses = {"main": (status(), 0)}
    one.shared.begin()
    one.tells(two)
    one.clock.advance(1)
    one.statuses = {"main": (replace(status(), discovery=DiscoveryStatus({}), refused_spaces={}), 0)}
    one.shared.begin()
    assert {key for key in one.posted if key[0] == "space"} == {
        ("space", "main", "cams-1"),
        ("space", "main", "cams-2"),
    }
    one.tells(two)
    seen = two.shared.told(STATUS)
    assert seen is not None
    assert seen.discovery == DiscoveryStatus({})
    one.clock.advance(1)
    one.statuses = {}  # handed over
    one.shared.begin()
    assert one.posted == []
    assert one.shared.written([("space", "main", "cams-1")]) == {}


def test_who_holds_an_account_believes_nobody_else(one: Process, two: Process) -> None:
    one.statuses = {"main": (STATUS, 0)}
    one.shared.begin()
    one.tells(two)
    assert two.shared.told(STATUS) is not None
    two.statuses = {"main": (STATUS, 0)}
    two.shared.begin()
    assert two.shared.told(STATUS) is None


@pytest.mark.parametrize(
    ("key", "payload"),
    [
        (("listing", "a", "b", "c"), b"[]"),
        (("number", "a", "b"), b"[]"),
        (("number", "main", "cams-1", "+8613800001234"), GONE),
        (("number", "main", "cams 1", "8613800001234"), GONE),
        (("space", "main", "\x00"), GONE),
        (("account", "main"), b"[]"),
        (("account", "main"), b'[1,60.0,0.0,null,[["A",1,null]],null,null,0,[0,null]]'),
        (("account", "main"), b"[-1,60.0,0.0,null,[],null,null,0,[0,null]]"),
        (("account", "main"), b'[1,"60",0.0,null,[],null,null,0,[0,null]]'),
        (("account", "main"), b"[1,60.0,0.0,[1,2,3],[],null,null,0,[0,null]]"),
        (("account", "main"), b"[1,60.0,0.0,null,[],null,null,0,[61,null]]"),
        (("account", "main"), b"[1,60.0,0.0,null,[],null,null,0,[0,[NaN,1]]]"),
        (("account", "main"), b"[1,60.0,0.0,null,[],null,null,0,[0,[1,-1]]]"),
        (("account", "main"), b"[1,60.0,0.0,null,[],null,null,0,[0,1]]"),
        (("space", "main", "cams-1"), b"[null]"),
        (("space", "main", "cams-1"), b"[null,[1,2.0,3,null]]"),
        (("space", "main", "cams-1"), b"{"),
        (("number", *NUMBER.key), b'["",[],"",null,null,null,null,null,[true,1.0,null,null],null,null]'),
        (("number", *NUMBER.key), b'["",[],"",null,null,null,null,null,[true,null,null,null,[[],[],[]]],null,null]'),
        (("number", *NUMBER.key), b'["",[],"",null,null,null,null,null,null,[["A"],1.0,1.0,[],null],null]'),
        (("number", *NUMBER.key), b'["",[],"",null,null,null,null,null,null,[null,1.0,1.0,[],null],null]'),
        (("number", *NUMBER.key), b'["",[],"",null,null,null,null,null,null,null,[1]]'),
    ],
)
def test_what_another_program_wrote_is_left_out(
    one: Process, two: Process, caplog: pytest.LogCaptureFixture, key: Key, payload: bytes
) -> None:
    """What stands beside it is taken over."""
    caplog.set_level(logging.DEBUG, "exporter.cluster.answers.shared")
    one.state.succeeded(NUMBER, Answer("VERIFIED", "id", "R"))
    (good,) = one.shared.written([("number", *NUMBER.key)]).values()
    two.shared.read([(key, payload, 0.0), (("number", *NUMBER.key), good[1], 0.0), (key, payload, 0.0)])
    assert caplog.messages == ["an answer in the store is left out"] * 2
    assert two.record().status == "VERIFIED"


def test_polls_wait_while_answers_are_written_and_read_and_no_longer(one: Process, two: Process) -> None:
    """Else the answers of a replica at its limit reach the others seconds late."""
    one.state.succeeded(NUMBER, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    two.shared.read([(("number", *NEW.key), b'["VERIFIED",[],"id",1,1,true,1,null,null,null,[0,0],null]', 0.0)])
    two.shared.begin()
    assert one.polls_waited == [True]
    assert two.polls_waited == [True, True]
    assert not one.priority.polls_wait
    assert not two.priority.polls_wait


def test_what_is_gone_may_be_read_twice(one: Process) -> None:
    for key in (("number", *NEW.key), ("space", "main", "cams-9"), ("account", "other")):
        one.shared.read([(key, GONE, 0.0)])


def test_a_wall_clock_that_is_set_makes_no_answer_older_or_newer(one: Process, two: Process) -> None:
    """Whoever's clock it is: ages are what counts."""
    one.state.succeeded(NUMBER, Answer("VERIFIED", "id", "R"))
    one.clock.advance(10)
    one.clock.now_unix += 30.0
    two.clock.now_unix -= 30.0
    one.tells(two)
    two.clock.advance(5)
    snapshot = two.state.snapshot()
    (record,) = snapshot.numbers
    assert record.success_unix == pytest.approx(snapshot.unix - 15)
    assert record.last_poll_unix == pytest.approx(snapshot.unix - 15)
    assert record.success_at == pytest.approx(two.clock.now - 15)


def test_answers_of_an_earlier_process_are_known_to_be_told(one: Process) -> None:
    """They help where the store was wiped."""
    assert one.shared.known() == []
    one.state.take_over([NumberState(NUMBER, "VERIFIED", success_at=one.clock.now - 60)])
    assert one.shared.known() == [("number", *NUMBER.key)]
    (entry,) = one.shared.written([("number", *NUMBER.key)]).values()
    assert entry[0] == pytest.approx(60)


def test_what_an_account_does_not_use_is_not_taken_over(one: Process, two: Process) -> None:
    """As in a rollout that takes `discover` and `health` away."""
    two.state.configure([NUMBER], {"main": 900.0})
    one.state.listed({NUMBER.key: Listing(True, one.clock.now, one.clock.now, ENTRY)})
    one.state.checked(NUMBER, Health("AVAILABLE"))
    one.state.succeeded(NUMBER, Answer("VERIFIED", "id", "R"))
    one.tells(two)
    record = two.record()
    assert (record.status, record.listing, record.health) == ("VERIFIED", None, None)
