"""Answers kept over a restart."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from exporter.model import UNKNOWN, Answer
from exporter.state import State
from exporter.storage import Storage
from tests.support.clock import FakeClock
from tests.support.numbers import number, numbers

STALE_AFTER = 900.0
STORE = "answers.sqlite3"


def state(clock: FakeClock, count: int = 3) -> State:
    made = State(clock)
    made.configure(numbers(count), {"main": STALE_AFTER})
    return made


def saved(folder: Path, clock: FakeClock, *statuses: str) -> None:
    """A store in which the first numbers have these statuses, from now."""
    made = state(clock, len(statuses))
    for index, status in enumerate(statuses):
        made.succeeded(number(index), Answer(status, f"id-{index}", "R-1"))
    storage = Storage(folder, made, clock)
    storage.save()
    storage.stop()


def restored(folder: Path, clock: FakeClock, count: int = 3) -> tuple[State, int]:
    made = state(clock, count)
    storage = Storage(folder, made, clock)
    found = storage.restore()
    storage.stop()
    return made, found


def shown(made: State) -> list[str]:
    snapshot = made.snapshot()
    return [snapshot.status(record) for record in snapshot.numbers]


def test_a_restart_brings_every_answer_back(tmp_path: Path) -> None:
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED", "REVOKED")
    answered_at = clock.now_unix
    after = FakeClock(now=5.0, now_unix=clock.now_unix + 100)
    made, found = restored(tmp_path, after)
    assert found == 2
    assert shown(made) == ["VERIFIED", "REVOKED", UNKNOWN]
    first, second, _ = made.snapshot().numbers
    assert first.success_unix == first.status_since_unix == answered_at
    assert (first.phone_number_id, first.request_id) == ("id-0", "R-1")
    assert second.extra_statuses == ("REVOKED",)
    assert first.last_poll_success is None  # this process has not polled it


def test_a_restored_status_goes_stale_when_it_should(tmp_path: Path) -> None:
    """Its true success time counts, the time the exporter was down included."""
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    after = FakeClock(now=5.0, now_unix=clock.now_unix + STALE_AFTER - 10)
    made, _ = restored(tmp_path, after, 1)
    assert shown(made) == ["VERIFIED"]
    after.advance(11)
    assert shown(made) == [UNKNOWN]


@pytest.mark.parametrize("seconds", [0.5, 5.0, 300.0])
def test_an_answer_from_the_near_future_counts_as_just_given(tmp_path: Path, seconds: float) -> None:
    """NTP set the clock back a little at the start: no reason to know nothing.  No time shown is later than now."""
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    back = FakeClock(now_unix=clock.now_unix - seconds)
    made, found = restored(tmp_path, back, 1)
    assert found == 1
    assert shown(made) == ["VERIFIED"]
    (record,) = made.snapshot().numbers
    assert record.success_unix == record.status_since_unix == back.now_unix
    back.advance(STALE_AFTER)
    assert shown(made) == ["VERIFIED"]
    back.advance(1)
    assert shown(made) == [UNKNOWN]


@pytest.mark.parametrize("seconds", [300.5, 3600.0])
def test_an_answer_from_the_far_future_is_not_believed(tmp_path: Path, seconds: float) -> None:
    """The clock was set back: nobody knows how old the answer is."""
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    made, found = restored(tmp_path, FakeClock(now_unix=clock.now_unix - seconds), 1)
    assert found == 0
    assert shown(made) == [UNKNOWN]


def test_stored_times_follow_a_clock_that_is_stepped(tmp_path: Path) -> None:
    """The next start reads them by the new clock."""
    clock = FakeClock()
    made = state(clock, 1)
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage = Storage(tmp_path, made, clock)
    storage.save()
    clock.now_unix -= 3600
    storage.save()
    storage.stop()
    assert shown(restored(tmp_path, clock, 1)[0]) == ["VERIFIED"]


def test_numbers_that_left_the_configuration_are_not_restored_and_are_deleted(tmp_path: Path) -> None:
    clock = FakeClock()
    made = state(clock, 2)
    for index in range(2):
        made.succeeded(number(index), Answer("VERIFIED", "1", "R"))
    storage = Storage(tmp_path, made, clock)
    storage.save()
    made.configure(numbers(1), {"main": STALE_AFTER})
    storage.save()
    storage.stop()
    assert restored(tmp_path, clock, 2)[1] == 1


def test_an_answer_that_came_before_the_restore_wins(tmp_path: Path) -> None:
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    made = state(clock, 1)
    made.succeeded(number(0), Answer("EXPIRED", "1", "R"))
    storage = Storage(tmp_path, made, clock)
    assert storage.restore() == 0
    storage.stop()
    assert shown(made) == ["EXPIRED"]


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    clock = FakeClock()
    made = state(clock)
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage = Storage(tmp_path, made, clock)
    storage.save()
    written = (tmp_path / STORE).stat().st_mtime_ns
    storage.save()
    assert (tmp_path / STORE).stat().st_mtime_ns == written
    storage.stop()


def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        saved(tmp_path / "made", FakeClock(), "VERIFIED")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    for file in (tmp_path / "made").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [b"not a database at all, but long enough to be taken for one" * 100, b"SQLite format 3\x00" + bytes(5000)],
)
def test_an_unreadable_store_is_set_aside_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STORE).write_bytes(content)
    clock = FakeClock()
    with caplog.at_level(logging.WARNING):
        _, found = restored(tmp_path, clock)
    assert found == 0
    assert "set aside" in caplog.text
    (aside,) = tmp_path.glob("*.unreadable-*")
    assert aside.read_bytes() == content
    saved(tmp_path, clock, "VERIFIED")
    assert restored(tmp_path, clock)[1] == 1


def test_a_store_with_other_columns_or_values_is_set_aside(tmp_path: Path) -> None:
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    store = sqlite3.connect(tmp_path / STORE)
    store.execute("UPDATE answers SET success_unix = 'yesterday'")
    store.commit()
    store.close()
    assert restored(tmp_path, clock)[1] == 0
    assert list(tmp_path.glob("*.unreadable-*"))


@pytest.mark.parametrize("columns", ["'x' a, 'x' b", ", ".join(f"'x' {name}" for name in "abcdefghi")])
def test_a_store_of_another_schema_is_set_aside(tmp_path: Path, columns: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as store:
        store.execute(f"CREATE TABLE answers AS SELECT {columns}")
        store.commit()
    assert restored(tmp_path, FakeClock())[1] == 0
    assert list(tmp_path.glob("*.unreadable-*"))
    saved(tmp_path, FakeClock(), "VERIFIED")
    assert restored(tmp_path, FakeClock())[1] == 1


def test_a_store_cut_off_anywhere_is_read_as_it_was_or_set_aside(tmp_path: Path) -> None:
    """Never a crash, never an answer that was not stored, and the next save works."""
    clock = FakeClock()
    saved(tmp_path / "whole", clock, *(f"STATUS-{index:02}" * 20 for index in range(60)))
    whole = (tmp_path / "whole" / STORE).read_bytes()
    assert len(whole) >= 5 * 4096
    for length in [0, 1, 15, 16, 99, 100, 1000, *range(4095, len(whole), 4096), *range(4096, len(whole), 4096)]:
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / STORE).write_bytes(whole[:length])
        made, found = restored(folder, clock, 60)
        assert found in {0, 60}
        assert {status for status in shown(made) if status != UNKNOWN} <= {f"STATUS-{i:02}" * 20 for i in range(60)}
        saved(folder, clock, "VERIFIED")
        assert restored(folder, clock, 1)[1] == 1


def test_a_folder_in_the_place_of_the_store_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / STORE).mkdir()
    (tmp_path / STORE / "something").touch()
    assert restored(tmp_path, FakeClock())[1] == 0
    assert list(tmp_path.glob("*.unreadable-*/something"))
    saved(tmp_path, FakeClock(), "VERIFIED")
    assert restored(tmp_path, FakeClock())[1] == 1


def test_a_store_that_can_be_neither_read_nor_set_aside_is_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name is taken by what cannot be moved: a mount point, say.  Saving says what is wrong."""
    clock = FakeClock()
    (tmp_path / STORE).mkdir()
    aside = tmp_path / f"{STORE}.unreadable-{clock.now_unix:.0f}"
    aside.write_text("in the way")  # a folder does not replace a file
    made = state(clock, 1)
    storage = Storage(tmp_path, made, clock)
    assert storage.restore() == 0
    assert "cannot be read" in caplog.text
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage.save()
    assert "cannot be stored" in caplog.text
    storage.stop()


def test_an_empty_store_is_no_unreadable_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk leaves one behind."""
    (tmp_path / STORE).touch()
    assert restored(tmp_path, FakeClock())[1] == 0
    assert not list(tmp_path.glob("*.unreadable-*"))
    assert caplog.text == ""


def test_what_an_earlier_process_stored_of_numbers_that_left_is_deleted(tmp_path: Path) -> None:
    """Numbers that were taken out while the exporter was down must not stay on disk for ever."""
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED", "VERIFIED", "VERIFIED")
    made = state(clock, 1)
    storage = Storage(tmp_path, made, clock)
    assert storage.restore() == 1
    storage.save()
    storage.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as store:
        assert store.execute("SELECT phone_number FROM answers").fetchall() == [(number(0).phone_number,)]


def test_two_exporters_do_not_share_a_folder(tmp_path: Path) -> None:
    storage = Storage(tmp_path, state(FakeClock()), FakeClock())
    with pytest.raises(OSError, match="another exporter stores its answers there"):
        Storage(tmp_path, state(FakeClock()), FakeClock())
    storage.stop()


def test_a_failure_to_write_is_logged_once_and_made_up_for_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    made = state(clock)
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage = Storage(tmp_path, made, clock)
    (tmp_path / STORE).mkdir()  # in the way
    with caplog.at_level(logging.INFO):
        storage.save()
        storage.save()
        assert caplog.text.count("cannot be stored") == 1
        (tmp_path / STORE).rmdir()
        storage.save()
    assert "stored again" in caplog.text
    storage.stop()
    assert restored(tmp_path, clock)[1] == 1


def test_stopping_saves_what_came_last(tmp_path: Path) -> None:
    clock = FakeClock()
    made = state(clock)
    storage = Storage(tmp_path, made, clock)
    storage.start()
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage.stop()
    assert restored(tmp_path, clock)[1] == 1
