"""What is kept over a restart of listings and health checks."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.cams.operations import NumberListing
from exporter.config import Config
from exporter.config.numbers import redact
from exporter.fleet.fleets import Fleets
from exporter.model import UNKNOWN, Answer, Health, HealthError, ListedNumber, Listing, NumberKey
from exporter.state.storage import Learnt, Storage
from exporter.state.store import NumberState, State
from tests.support.clock import FakeClock
from tests.support.configs import loaded

ONE, TWO, TYPED = "8613800000001", "8613800000002", "8613800000003"
STORE = "answers.sqlite3"
VALID = 6 * 3600.0

CONFIG = """
accounts:
  - name: main
    discover: {spaces: [a], refresh_interval: 60s, forget_after: 10m}
    health: {}
    numbers: [{phone_number: "8613800000003", cust_space_id: a, name: desk}]
"""

ENTRY = ListedNumber(ONE, "BANNED", "RED", "TIER_10K", 10_000.0, "DECLINED", "EXPIRED", "Shop")
BLOCKED = Health("BLOCKED", (HealthError("WABA", "141006", "no payment", "pay"),))


class Process:
    """An exporter without pollers and web server: its state, fleets and store."""

    def __init__(self, folder: Path, clock: FakeClock, text: str = CONFIG, hide: object = str) -> None:
        self.clock = clock
        self.state = State(clock)
        self.fleets = Fleets(self.state, clock, self.put_in_force, lambda: None)
        self.config: Config = loaded(folder, text)
        self.fleets.configure(self.config, self.config.accounts)
        self.put_in_force([])
        learnt = Learnt(absences=self.fleets.absences, find=self.fleets.restore, hide=hide)  # type: ignore[arg-type] # tests pass what fits
        self.storage = Storage(folder / "store", self.state, clock, learnt=learnt)

    def put_in_force(self, names: object) -> None:
        taken = self.fleets.take([account.name for account in self.config.accounts])
        self.state.configure(
            [number for numbers in taken.values() for number in numbers],
            dict.fromkeys(taken, 900.0),
            listing_seconds={account.name: VALID for account in self.config.accounts if account.discover},
            health_seconds={account.name: VALID for account in self.config.accounts if account.health},
        )

    def listed(self, *entries: ListedNumber) -> None:
        self.fleets.of("main").numbers_listed("a", NumberListing(entries, "R", 0.1))
        self.fleets.step()

    @property
    def records(self) -> Mapping[str, NumberState]:
        return {record.number.phone_number: record for record in self.state.snapshot().numbers}

    def ends(self) -> None:
        self.storage.save()
        self.storage.stop()

    def begins(self) -> None:
        self.storage.restore()


def restarted(folder: Path, process: Process, after: float = 60.0, text: str = CONFIG, hide: object = str) -> Process:
    """What comes after the end of `process`; its monotonic clock is another one."""
    process.ends()
    made = Process(folder, FakeClock(now=5.0, now_unix=process.clock.now_unix + after), text, hide)
    made.begins()
    return made


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """One number is found and one typed; the found one has a status and a verdict."""
    made = Process(tmp_path, FakeClock())
    made.begins()
    made.listed(ENTRY)
    number = made.records[ONE].number
    made.state.succeeded(number, Answer("VERIFIED", "id-1", "R-1"))
    made.state.checked(number, BLOCKED)
    return made


def test_found_numbers_and_all_that_is_known_of_them_outlive_a_restart(tmp_path: Path, process: Process) -> None:
    listed_unix = process.clock.now_unix
    after = restarted(tmp_path, process, 3600.0)
    assert list(after.records) == [TYPED, ONE]
    record, snapshot = after.records[ONE], after.state.snapshot()
    assert record.number.found
    assert snapshot.listed(record) is True
    assert snapshot.entry(record) == ENTRY
    assert record.listing is not None
    assert after.clock.now - record.listing.looked_at == after.clock.now - record.listing.seen_at == 3600.0
    assert record.shown.connection_statuses == ("BANNED",)
    assert (snapshot.verdict(record), record.health and record.health.answer) == ("BLOCKED", BLOCKED)
    assert record.health is not None
    assert record.health.success_unix == listed_unix
    assert snapshot.status(record) == UNKNOWN  # an hour is too old for a status
    assert record.status == "VERIFIED"


def test_a_typed_number_that_is_not_listed_is_still_not_listed_after_a_restart(
    tmp_path: Path, process: Process
) -> None:
    after = restarted(tmp_path, process)
    assert after.state.snapshot().listed(after.records[TYPED]) is False


def test_what_listings_and_checks_said_ages_while_the_exporter_is_down(tmp_path: Path, process: Process) -> None:
    after = restarted(tmp_path, process, VALID + 1)
    record, snapshot = after.records[ONE], after.state.snapshot()
    assert snapshot.listed(record) is None
    assert snapshot.entry(record) is None
    assert snapshot.verdict(record) == UNKNOWN


@pytest.mark.parametrize(("ahead_seconds", "taken"), [(299.0, True), (301.0, False)])
def test_a_time_in_the_future_counts_as_now_up_to_five_minutes(
    tmp_path: Path, process: Process, ahead_seconds: float, taken: bool
) -> None:
    """The clock was set back.  A found number is polled in any case."""
    after = restarted(tmp_path, process, -ahead_seconds)
    record = after.records[ONE]
    if taken:
        assert record.listing == Listing(True, after.clock.now, after.clock.now, ENTRY)
        assert record.health is not None
        assert record.health.success_unix == record.health.since_unix == after.clock.now_unix
    else:
        assert (record.listing, record.health, record.status) == (None, None, "")


def test_a_vanished_number_is_forgotten_on_time_over_many_restarts(tmp_path: Path, process: Process) -> None:
    """One restart a minute, each with one listing that lacks the number."""
    for _ in range(9):
        assert ONE in process.records
        process = restarted(tmp_path, process)
        process.listed(ListedNumber(TWO))
    assert process.state.snapshot().listed(process.records[ONE]) is False
    process = restarted(tmp_path, process)
    assert ONE in process.records
    process.listed(ListedNumber(TWO))
    assert ONE not in process.records
    assert ONE not in restarted(tmp_path, process).records


def test_downtime_forgets_nothing(tmp_path: Path, process: Process) -> None:
    for _ in range(5):
        process = restarted(tmp_path, process, 1e6)
        process.listed(ListedNumber(TWO))
    assert ONE in process.records


def test_a_number_stays_although_the_clock_was_set_back(tmp_path: Path, process: Process) -> None:
    """It is still one to poll, but the age of what was known of it is not known."""
    after = restarted(tmp_path, process, -3600.0)
    record, snapshot = after.records[ONE], after.state.snapshot()
    assert (record.listing, record.health, record.status) == (None, None, "")
    assert (snapshot.listed(record), snapshot.verdict(record)) == (None, "")
    after.listed(ENTRY)
    assert after.state.snapshot().listed(after.records[ONE]) is True


def test_a_number_stays_over_more_restarts_although_the_clock_was_set_back(tmp_path: Path, process: Process) -> None:
    """No listing succeeded in between: the API is down."""
    process = restarted(tmp_path, process, -3600.0)
    for _ in range(3):
        process = restarted(tmp_path, process)
        record = process.records[ONE]
        assert (process.state.snapshot().listed(record), record.number.found) == (None, True)
    process.listed(ENTRY)
    assert process.state.snapshot().listed(process.records[ONE]) is True


def test_an_account_without_discover_gets_no_found_numbers_back(tmp_path: Path, process: Process) -> None:
    after = restarted(tmp_path, process, text=CONFIG.replace("discover:", "# discover:").replace("health", "# health"))
    assert list(after.records) == [TYPED]
    assert (after.records[TYPED].listing, after.records[TYPED].health) == (None, None)


def test_a_number_that_was_found_and_is_typed_now_keeps_what_is_known(tmp_path: Path, process: Process) -> None:
    typed = f'[{{phone_number: "{ONE}", cust_space_id: a, name: shop}}]'
    after = restarted(tmp_path, process, text=CONFIG[: CONFIG.index("numbers:")] + f"numbers: {typed}")
    record = after.records[ONE]
    assert (record.number.name, record.number.found) == ("shop", False)
    assert after.state.snapshot().entry(record) == ENTRY


def test_a_later_change_is_saved_though_no_status_changed(tmp_path: Path, process: Process) -> None:
    process.storage.save()
    process.clock.advance(60)
    process.listed(replace(ENTRY, connection_status="CONNECTED"))
    process.state.checked(process.records[ONE].number, Health("AVAILABLE"))
    after = restarted(tmp_path, process)
    record = after.records[ONE]
    assert after.state.snapshot().verdict(record) == "AVAILABLE"
    assert record.listing is not None
    assert record.listing.entry is not None
    assert record.listing.entry.connection_status == "CONNECTED"
    assert record.shown.connection_statuses == ("BANNED", "CONNECTED")


def test_a_number_that_left_leaves_the_store(tmp_path: Path, process: Process) -> None:
    process.storage.save()
    process.config = loaded(tmp_path, CONFIG.replace("spaces: [a]", "spaces: [b]"))
    process.fleets.configure(process.config, process.config.accounts)
    process.put_in_force([])
    process.ends()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / STORE)) as store:
        for table in ("answers", "listings", "health"):
            assert ONE not in {digits for (digits,) in store.execute(f"SELECT phone_number FROM {table}")}  # noqa: S608 - names of tables


def test_texts_with_phone_numbers_are_hidden_as_the_configuration_says_now(tmp_path: Path, process: Process) -> None:
    process.clock.advance(60)
    process.listed(replace(ENTRY, verified_name=f"Shop {ONE}, call {TWO}"))
    after = restarted(tmp_path, process, hide=lambda text: text.replace(TWO, "..."))
    record = after.records[ONE]
    assert record.listing is not None
    assert record.listing.entry is not None
    assert record.listing.entry.verified_name == f"Shop {ONE}, call ..."


def test_a_store_of_an_older_version_is_taken_over(tmp_path: Path, process: Process) -> None:
    """It has the answers and the guards, and lacks the other tables."""
    process.ends()
    path = tmp_path / "store" / STORE
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("DROP TABLE listings")
        store.execute("DROP TABLE health")
        schema = {sql for (sql,) in store.execute("SELECT sql FROM sqlite_master")}
        store.execute(
            "INSERT OR REPLACE INTO answers SELECT account, cust_space_id, ?, status, extra_statuses, phone_number_id, "
            "request_id, success_unix, status_since_unix FROM answers",
            (TYPED,),
        )
    assert schema == {
        """CREATE TABLE answers (
    account TEXT NOT NULL, cust_space_id TEXT NOT NULL, phone_number TEXT NOT NULL,
    status TEXT NOT NULL, extra_statuses TEXT NOT NULL, phone_number_id TEXT NOT NULL, request_id TEXT NOT NULL,
    success_unix REAL NOT NULL, status_since_unix REAL NOT NULL,
    PRIMARY KEY (account, cust_space_id, phone_number)
) WITHOUT ROWID""",
        "CREATE TABLE guards (account TEXT NOT NULL PRIMARY KEY, seconds REAL NOT NULL) WITHOUT ROWID",
    }
    after = Process(tmp_path, FakeClock(now=5.0, now_unix=process.clock.now_unix))
    after.begins()
    assert after.records[TYPED].status == "VERIFIED"
    after.listed(ENTRY)
    after.ends()
    assert [file.name for file in sorted((tmp_path / "store").iterdir())] == [STORE, "lock"]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("listings", "phone_number", "86138****0001"),
        ("listings", "phone_number", "not a number"),
        ("listings", "cust_space_id", "a b"),
        ("listings", "listed", 2),
        ("listings", "looked_unix", -1.0),
        ("listings", "looked_unix", float("inf")),
        ("listings", "seen_unix", "yesterday"),
        ("listings", "entry", "[]"),
        ("listings", "entry", "{}"),
        ("listings", "entry", "[" * 50_000),
        ("listings", "entry", json.dumps([1, 2, 3, 4, 5, 6])),
        ("listings", "shown", "[[], []]"),
        ("listings", "shown", "[[1], [], []]"),
        ("listings", "missing_seconds", -1.0),
        ("listings", "missing_seconds", float("inf")),
        ("listings", "gone_seconds", None),
        ("health", "verdict", " "),
        ("health", "errors", "null"),
        ("health", "errors", '[["PHONE"]]'),
        ("health", "success_unix", 0.0),
        ("health", "shown", "7"),
    ],
)
def test_values_that_no_save_writes_set_the_store_aside(
    tmp_path: Path, process: Process, table: str, column: str, value: object
) -> None:
    process.ends()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / STORE)) as store, store:
        store.execute(f"UPDATE {table} SET {column} = ? WHERE phone_number = ?", (value, ONE))  # noqa: S608 - names of the store
    after = Process(tmp_path, FakeClock(now_unix=process.clock.now_unix))
    after.begins()
    assert any("unreadable" in file.name for file in (tmp_path / "store").iterdir())
    assert after.records[TYPED].status == ""


def test_stored_texts_are_bounded(tmp_path: Path, process: Process) -> None:
    process.ends()
    long = "x" * 10_000
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / STORE)) as store, store:
        store.execute("UPDATE listings SET entry = ? WHERE phone_number = ?", (json.dumps([long] * 6), ONE))
        store.execute("UPDATE listings SET shown = ?", (json.dumps([[f"{i}" for i in range(500)], [], []]),))
        store.execute("UPDATE health SET errors = ?, verdict = ?", (json.dumps([[long[:999]] * 4] * 40), long))
    after = Process(tmp_path, FakeClock(now=5.0, now_unix=process.clock.now_unix))
    after.begins()
    record = after.records[ONE]
    assert record.listing is not None
    assert record.listing.entry is not None
    assert len(record.listing.entry.verified_name) == 128
    assert len(record.shown.connection_statuses) == 16
    assert record.health is not None
    assert record.health.answer is not None
    assert (len(record.health.answer.errors), len(record.health.answer.verdict)) == (16, 128)
    assert len(record.health.answer.errors[0].description) == 500


def test_the_longest_rows_can_be_saved(tmp_path: Path, process: Process) -> None:
    """The store bounds a value, so that a hostile file cannot fill the memory; no answer may reach that bound."""
    long = [f"{i:02}" + "\U0001f4a9" * 126 for i in range(17)]
    errors = tuple(HealthError(text, text, "\U0001f4a9" * 500, "\U0001f4a9" * 500) for text in long[:16])
    for verdict in long:
        process.state.checked(process.records[ONE].number, Health(verdict, errors))
    after = restarted(tmp_path, process)
    record = after.records[ONE]
    assert record.health is not None
    assert record.health.answer == Health(long[-1], errors)
    assert record.health.shown == tuple(long[1:])


def test_the_text_of_damage_shows_no_hidden_number(
    tmp_path: Path, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.ends()
    path = tmp_path / "store" / STORE
    path.write_bytes(path.read_bytes().replace(ONE.encode(), ONE[:-2].encode() + b"\xff" + ONE[-1:].encode()))
    after = Process(tmp_path, FakeClock(now_unix=process.clock.now_unix), hide=redact)
    after.begins()
    assert "the store cannot be used" in caplog.text
    said = " ".join(str(vars(record)) for record in caplog.records)
    assert "UTF-8" in said
    assert ONE[:-2] not in said


def test_numbers_of_accounts_that_nobody_knows_are_ignored(tmp_path: Path, process: Process) -> None:
    after = restarted(tmp_path, process, text=CONFIG.replace("name: main", "name: other"))
    assert list(after.records) == [TYPED]
    assert NumberKey("main", "a", ONE) not in {record.number.key for record in after.state.snapshot().numbers}
