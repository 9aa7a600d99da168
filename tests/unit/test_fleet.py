"""Found numbers while the exporter runs: what the state is told, when they are put in force, what the log says."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from exporter.cams.operations import NumberListing
from exporter.config import Config
from exporter.errors import ApiError, Kind
from exporter.fleet.fleets import APPLY_SECONDS, SETTLE_SECONDS, Fleets
from exporter.model import ListedNumber, Listing, NumberKey, Refused, Space, SpaceStatus
from exporter.state.found import Absence, StoredFound
from tests.support.clock import FakeClock
from tests.support.configs import loaded
from tests.support.patience import PATIENCE_SECONDS

ONE, TWO = "8613800000001", "8613800000002"
TIMEOUT = ApiError("timeout", Kind.TRANSIENT, message="slow", request_id="R-1")


def listing(*digits: str, status: str = "CONNECTED") -> NumberListing:
    return NumberListing(tuple(ListedNumber(each, status) for each in digits), "R-1", 0.1)


def many(count: int, first: int = 0) -> list[str]:
    return [f"86139{index:08d}" for index in range(first, first + count)]


class Told:
    """The state, as far as a fleet needs it."""

    def __init__(self) -> None:
        self.known: dict[NumberKey, Listing] = {}

    def listed(self, listings: Mapping[NumberKey, Listing]) -> None:
        self.known |= listings


class World:
    """Fleets of a configuration, and how often numbers were put in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.state = Told()
        self.applied: list[Sequence[str]] = []
        self.apply_seconds = 0.0
        self.settled = 0
        self.fleets = Fleets(self.state, self.clock, self.apply, self.settle)

    def apply(self, names: Sequence[str]) -> None:
        self.applied.append(names)
        self.clock.advance(self.apply_seconds)
        self.fleets.take(names)

    def settle(self) -> None:
        self.settled += 1

    def load(self, accounts: str, top: str = "") -> Config:
        config = loaded(self.folder, f"{top}\naccounts: [{accounts}]")
        names = [account.name for account in config.accounts]
        self.fleets.configure(config, config.accounts)
        self.fleets.take(names)
        self.fleets.tell(names)
        return config

    def listed(self, *digits: str, space: str = "a", account: str = "main", status: str = "CONNECTED") -> None:
        self.fleets.of(account).numbers_listed(space, listing(*digits, status=status))

    def spaces(self, *spaces: str, account: str = "main") -> None:
        self.fleets.of(account).spaces_listed([Space(space) for space in spaces])

    def in_force(self, account: str = "main") -> list[str]:
        return [number.phone_number for number in self.fleets.take([])[account]]

    def settle_down(self) -> None:
        """Let the thread do all that it has to do."""
        self.clock.advance(APPLY_SECONDS)
        self.fleets.step()
        self.clock.advance(SETTLE_SECONDS)
        self.fleets.step()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.fleets.stop()


MAIN = "{name: main, discover: {refresh_interval: 60s, spaces: [a, b]}}"


def key(digits: str, space: str = "a", account: str = "main") -> NumberKey:
    return NumberKey(account, space, digits)


def stored(
    listed: bool,
    looked_at: float,
    seen_at: float,
    entry: ListedNumber | None = None,
    missing_seconds: float = 0.0,
) -> StoredFound:
    return StoredFound(Listing(listed, looked_at, seen_at, entry), Absence(missing_seconds))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The log lines with their fields."""
    found = [f"{record.getMessage()} {vars(record).get('fields', '')}" for record in caplog.records]
    caplog.clear()
    return found


def test_found_numbers_come_in_force_and_then_the_state_is_told(world: World) -> None:
    world.load(MAIN)
    assert world.in_force() == []
    world.listed(ONE, TWO)
    assert world.state.known == {}
    world.fleets.step()
    assert world.in_force() == [ONE, TWO]
    assert world.state.known.keys() == {key(ONE), key(TWO)}
    assert world.state.known[key(ONE)].entry == ListedNumber(ONE, "CONNECTED")


def test_a_later_listing_is_told_at_once(world: World) -> None:
    world.load(MAIN)
    world.listed(ONE)
    world.fleets.step()
    world.listed(ONE, status="BANNED")
    assert world.state.known[key(ONE)].entry == ListedNumber(ONE, "BANNED")
    assert len(world.applied) == 1


def test_a_number_that_a_reload_adds_gets_what_its_space_has_said(world: World) -> None:
    world.load(MAIN)
    world.listed(ONE)
    typed = f'{{name: main, discover: {{spaces: [a, b]}}, numbers: [{{phone_number: "{TWO}", cust_space_id: a}}]}}'
    world.load(typed)
    assert world.in_force() == [TWO, ONE]
    assert not world.state.known[key(TWO)].listed


def test_found_numbers_are_put_in_force_at_most_once_a_second(world: World) -> None:
    world.load(MAIN)
    for count in range(1, 100):
        world.listed(*many(count))
        world.fleets.step()
        world.clock.advance(APPLY_SECONDS / 10)
    assert len(world.applied) == 10


def test_it_happens_less_often_if_it_takes_long(world: World) -> None:
    """50,000 numbers: most of the processor's time stays for polls and scrapes."""
    world.load(MAIN)
    world.apply_seconds = 0.5
    began_at = world.clock.now
    for count in range(1, 100):
        world.listed(*many(count))
        world.fleets.step()
        world.clock.advance(1.0)
    spent = len(world.applied) * world.apply_seconds
    assert spent <= 0.06 * (world.clock.now - began_at)
    assert spent > 0


def test_changes_settle_once(world: World) -> None:
    world.load(MAIN)
    for count in range(1, 10):
        world.listed(*many(count))
        world.clock.advance(APPLY_SECONDS)
        world.fleets.step()
    assert world.settled == 0
    for _ in range(3):
        world.clock.advance(SETTLE_SECONDS)
        world.fleets.step()
    assert world.settled == 1


def test_a_failed_listing_changes_nothing_but_the_status(world: World) -> None:
    world.load(MAIN)
    fleet = world.fleets.of("main")
    world.listed(ONE)
    listed_unix = world.clock.now_unix
    world.fleets.step()
    before = dict(world.state.known)
    world.clock.advance(3600)
    fleet.listing_failed("a", TIMEOUT)
    fleet.listing_failed("b", TIMEOUT)
    error = Refused("timeout", "slow", "R-1")
    status = fleet.status()
    assert status is not None
    assert status.spaces == {
        "a": SpaceStatus(1, listed_unix, True, error),
        "b": SpaceStatus(0, None, True, error),
    }
    assert fleet.unlisted() == 2  # as before the first attempt
    assert world.in_force() == [ONE]
    assert world.state.known == before
    world.listed(ONE)
    assert fleet.unlisted() == 1


def test_the_list_of_spaces_counts_as_a_listing_where_it_is_asked_for(world: World) -> None:
    world.load("{name: main, discover: {}}")
    fleet = world.fleets.of("main")
    assert fleet.spaces() == ()
    fleet.listing_failed(None, TIMEOUT)
    assert fleet.unlisted() == 1
    world.spaces("a")
    assert (fleet.unlisted(), fleet.spaces()) == (1, ("a",))
    world.listed(ONE)
    assert fleet.unlisted() == 0
    fleet.listing_failed(None, TIMEOUT)
    assert fleet.unlisted() == 1
    world.load(MAIN.replace(", b", ""))
    assert fleet.unlisted() == 0


def test_the_time_of_a_listing_follows_a_clock_that_is_set(world: World) -> None:
    world.load(MAIN)
    world.listed(ONE)
    world.clock.now_unix += 3600

    def success_unix() -> float | None:
        status = world.fleets.of("main").status()
        assert status is not None
        return status.spaces["a"].success_unix

    assert success_unix() == world.clock.now_unix
    world.clock.now_unix -= 3600.5
    assert success_unix() == world.clock.now_unix + 0.5  # drift moves nothing: the value must not flicker


def test_an_account_without_discover_has_no_status(world: World) -> None:
    world.load(f'{{name: main, numbers: [{{phone_number: "{ONE}", cust_space_id: a}}]}}')
    assert world.fleets.of("main").status() is None
    assert world.fleets.of("main").spaces() == ()


def test_a_reload_that_removes_discover_or_the_account_takes_found_numbers_away(world: World) -> None:
    world.load(MAIN)
    world.listed(ONE)
    world.fleets.step()
    world.load(f'{{name: main, numbers: [{{phone_number: "{TWO}", cust_space_id: a}}]}}')
    assert world.in_force() == [TWO]
    old = world.fleets.of("main")
    world.load(MAIN.replace("main", "other"))
    assert "main" not in world.fleets.take([])
    old.numbers_listed("a", listing(ONE))  # a request was still in flight
    world.settle_down()
    assert "main" not in world.fleets.take([])
    assert world.fleets.absences() == {}


def test_the_first_listing_is_one_line_whatever_its_length(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.load(MAIN)
    world.listed(*many(9_000))
    world.listed(*many(3, 20_000), space="b")
    world.settle_down()
    (line,) = said(caplog)
    assert "9003" in line


def test_first_listings_of_many_spaces_are_few_lines(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One space a second, as if each request listed one of many spaces.  No number is left out of the sums."""
    caplog.set_level(logging.INFO)
    world.load("{name: main, discover: {}}")
    world.spaces(*(f"s{place}" for place in range(200)))
    for place in range(200):
        world.listed(*many(20, 20 * place), space=f"s{place}")
        world.clock.advance(1.0)
        world.fleets.step()
    world.settle_down()
    lines = said(caplog)
    assert len(lines) <= 200 / 30 + 2
    assert sum(int(re.findall(r"'numbers': (\d+)", line)[0]) for line in lines) == 4_000


def test_what_is_not_logged_yet_is_logged_at_the_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.load("{name: main, discover: {spaces: [a], max_numbers: 1}}")
    world.listed(ONE, TWO)
    world.fleets.stop()
    assert any("beyond max_numbers" in line for line in said(caplog))


def test_a_thread_without_a_heartbeat_is_seen(world: World) -> None:
    waits = threading.Event()

    def wait(condition: threading.Condition, _: float) -> None:
        waits.set()
        condition.wait()

    fleets = Fleets(world.state, world.clock, world.apply, world.settle, wait)
    config = world.load(MAIN)
    fleets.configure(config, config.accounts)
    assert fleets.seconds_without_heartbeat() == 0.0
    fleets.start()
    try:
        assert waits.wait(PATIENCE_SECONDS)
        world.clock.advance(1000.0)
        assert fleets.seconds_without_heartbeat() == 1000.0
    finally:
        fleets.stop()


def test_numbers_that_cannot_be_put_in_force_stay_pending_and_it_is_seen(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """`--once` gives up then, instead of waiting for ever; and the thread goes on."""
    waits = threading.Semaphore(0)

    def wait(condition: threading.Condition, _: float) -> None:
        waits.release()
        condition.wait()

    def apply(names: Sequence[str]) -> None:
        fleets.take(names)
        raise MemoryError

    fleets = Fleets(world.state, world.clock, apply, world.settle, wait)
    config = world.load(MAIN)
    fleets.configure(config, config.accounts)
    fleets.of("main").numbers_listed("a", listing(ONE))
    fleets.start()
    try:
        assert waits.acquire(timeout=PATIENCE_SECONDS)
        world.clock.advance(10.0)
        assert fleets.seconds_failing() == 10.0
        assert fleets.of("main").is_pending()
    finally:
        fleets.stop()
    assert "MemoryError" in caplog.text


def test_later_numbers_are_named_unless_they_are_many(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world.load(MAIN)
    world.listed(ONE)
    world.settle_down()
    said(caplog)
    world.listed(ONE, TWO)
    world.settle_down()
    (line,) = said(caplog)
    assert line.startswith("number found ")
    assert TWO in line
    world.listed(*many(500))
    world.settle_down()
    found, *missing = sorted(said(caplog))
    assert found.startswith("number found ")
    assert "500" in found
    assert all(line.startswith("number no longer listed") for line in missing)
    assert [digits in line for digits, line in zip([ONE, TWO], missing, strict=True)] == [True, True]


def test_no_hidden_number_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (world.folder / "key").write_text("0123456789abcdef0123456789abcdef")
    top = "phone_number_label: hashed\nphone_number_hash_key_file: key"
    world.load(
        "{name: main, discover: {refresh_interval: 60s, forget_after: 60s, spaces: [a, b], max_numbers: 2}}", top
    )
    world.listed(ONE)
    world.listed(ONE, space="b")
    world.settle_down()
    world.listed(TWO)
    world.settle_down()
    world.clock.advance(60)
    world.listed(TWO)
    world.settle_down()
    lines = said(caplog)
    assert len(lines) >= 5
    assert not any(digits in line for line in lines for digits in (ONE, TWO))


def test_numbers_beyond_max_numbers_are_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    config = "{name: main, discover: {spaces: [a, b], max_numbers: 5}}"
    world.load(config)
    for count in range(6, 100):
        world.listed(*many(count))
        world.clock.advance(0.1)
        world.fleets.step()
    world.settle_down()
    assert [line for line in said(caplog) if "'left_out': 94" in line and "max_numbers" in line]
    world.listed(*many(99))
    world.settle_down()
    assert said(caplog) == []
    world.load(config.replace("5", "500"))
    world.listed(*many(99))
    world.settle_down()
    assert any("no number is beyond max_numbers" in line for line in said(caplog))


def test_a_number_in_two_places_is_warned_about_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    typed = f'{{name: typed, numbers: [{{phone_number: "{ONE}", cust_space_id: t}}, '
    typed += f'{{phone_number: "{ONE}", cust_space_id: u}}]}}'
    world.load(f"{MAIN}, {MAIN.replace('main', 'other')}, {typed}")
    world.listed(TWO)
    world.listed(TWO, space="b")
    world.settle_down()
    (line,) = said(caplog)
    assert "number is in two places" in line
    assert all(part in line for part in (TWO, "'a'", "'b'"))
    world.listed(TWO, ONE)
    world.settle_down()
    assert len(said(caplog)) == 2  # with each of the typed ones; those two are the user's will
    world.listed(*many(50), space="a", account="other")
    world.listed(*many(50), space="b", account="other")
    world.settle_down()
    (line,) = said(caplog)
    assert "50" in line
    world.settle_down()
    assert said(caplog) == []


def test_a_number_that_many_spaces_list_is_named_once_for_each(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An API that answers every space with all numbers must not cost the square of the spaces."""
    caplog.set_level(logging.WARNING)
    spaces = [f"s{index}" for index in range(30)]
    world.load(f"{{name: main, discover: {{spaces: [{', '.join(spaces)}]}}}}")
    for space in spaces:
        world.listed(ONE, space=space)
    world.settle_down()
    *lines, rest = said(caplog)
    assert len(lines) == 10
    assert "'more_pairs_of_spaces': 19" in rest


def test_a_label_that_two_numbers_share_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    config = world.load(MAIN)
    object.__setattr__(config, "labeller", lambda _: "hash")
    world.fleets.configure(config, config.accounts)
    world.listed(ONE, TWO)
    world.settle_down()
    assert world.in_force() == [ONE]
    (line,) = said(caplog)
    assert "same label" in line
    world.listed(ONE, TWO)
    world.settle_down()
    assert said(caplog) == []


def test_stored_numbers_are_in_force_before_any_listing(world: World) -> None:
    world.load(MAIN)
    unix, now, entry = world.clock.now_unix, world.clock.now, ListedNumber(ONE, "BANNED")
    world.fleets.restore(
        {
            key(ONE): stored(False, now - 60, now - 600, entry, missing_seconds=540.0),
            key(TWO): stored(True, -math.inf, -math.inf),
            key(ONE, account="gone"): stored(True, now, now, entry),
        }
    )
    assert world.applied == [["main"]]
    assert world.in_force() == [ONE, TWO]
    assert world.fleets.absences() == {key(ONE): Absence(540.0), key(TWO): Absence()}
    fleet = world.fleets.of("main")
    status = fleet.status()
    assert status is not None
    assert status.spaces["a"] == SpaceStatus(1, unix - 60, attempted=False)
    world.listed(ONE)
    told = world.state.known[key(TWO)]
    assert (told.listed, told.entry) == (False, None)  # when it was listed before is not known


def test_forgetting_goes_on_after_a_restart(world: World) -> None:
    world.load("{name: main, discover: {refresh_interval: 60s, forget_after: 10m, spaces: [a]}}")
    now = world.clock.now
    world.fleets.restore({key(ONE): stored(False, now - 3600, now - 7200, missing_seconds=541.0)})
    world.listed(TWO)
    world.settle_down()
    assert world.in_force() == [TWO]


def test_the_thread_starts_only_for_discovery(world: World) -> None:
    world.load(f'{{name: main, numbers: [{{phone_number: "{ONE}", cust_space_id: a}}]}}')
    world.fleets.start()
    assert world.fleets.seconds_without_heartbeat() == 0.0
