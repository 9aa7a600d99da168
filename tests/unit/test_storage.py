"""Answers kept over a restart."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.model import UNKNOWN, Answer
from exporter.state.storage import Learnt, Storage
from exporter.state.store import Snapshot, State
from exporter.threads import begin
from tests.support.clock import FakeClock
from tests.support.numbers import number, numbers
from tests.support.patience import PATIENCE_SECONDS

STALE_AFTER = 900.0
STORE = "answers.sqlite3"
HANGING_SECONDS = 60.0


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


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Another program, such as a backup, has locked the store."""
    with contextlib.closing(sqlite3.connect(store)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.rollback()


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
    assert first.phone_number_id == "id-0"
    assert second.extra_statuses == ("REVOKED",)
    assert first.last_poll_success is None  # this process has not polled it


def test_a_restored_status_goes_stale_when_it_should(tmp_path: Path) -> None:
    """Its true time of success counts, including the time while the exporter was down."""
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    after = FakeClock(now=5.0, now_unix=clock.now_unix + STALE_AFTER - 10)
    made, _ = restored(tmp_path, after, 1)
    assert shown(made) == ["VERIFIED"]
    after.advance(11)
    assert shown(made) == [UNKNOWN]


@pytest.mark.parametrize("seconds", [0.5, 5.0, 300.0])
def test_an_answer_from_the_near_future_counts_as_just_given(tmp_path: Path, seconds: float) -> None:
    """NTP set the clock back a little at the start: answers are kept.  No shown time is later than now."""
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
    """The clock was set back, so the age of the answer is unknown."""
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


def test_a_truncated_store_is_read_unchanged_or_renamed(tmp_path: Path) -> None:
    """No crash, no invented answer, and the next save works."""
    clock = FakeClock()
    statuses = [f"STATUS-{index:02}" * 12 for index in range(100)]
    saved(tmp_path / "whole", clock, *statuses)
    whole = (tmp_path / "whole" / STORE).read_bytes()
    assert len(whole) >= 5 * 4096
    for length in [0, 1, 15, 16, 99, 100, 1000, *range(4095, len(whole), 4096), *range(4096, len(whole), 4096)]:
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / STORE).write_bytes(whole[:length])
        made, found = restored(folder, clock, 100)
        assert found in {0, 100}
        assert {status for status in shown(made) if status != UNKNOWN} <= set(statuses)
        saved(folder, clock, "VERIFIED")
        assert restored(folder, clock, 1)[1] == 1


def test_a_folder_in_the_place_of_the_store_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / STORE).mkdir()
    (tmp_path / STORE / "something").touch()
    assert restored(tmp_path, FakeClock())[1] == 0
    assert list(tmp_path.glob("*.unreadable-*/something"))
    saved(tmp_path, FakeClock(), "VERIFIED")
    assert restored(tmp_path, FakeClock())[1] == 1


def test_an_empty_store_does_not_count_as_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk leaves one behind."""
    (tmp_path / STORE).touch()
    assert restored(tmp_path, FakeClock())[1] == 0
    assert not list(tmp_path.glob("*.unreadable-*"))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_an_earlier_process_stored_of_numbers_that_left_is_deleted(tmp_path: Path) -> None:
    """Numbers that were removed while the exporter was down must not stay on disk for ever."""
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
    storage, other = (Storage(tmp_path, state(FakeClock()), FakeClock()) for _ in range(2))
    storage.restore()
    with pytest.raises(OSError, match="another exporter stores its answers there"):
        other.restore()
    storage.stop()
    assert other.restore() == 0
    other.stop()


def test_a_failure_to_write_is_logged_once_and_made_up_for_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    made = state(clock)
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage = Storage(tmp_path, made, clock, busy_seconds=0.0)
    storage.restore()
    assert storage.up()
    with caplog.at_level(logging.INFO):
        storage.save()
        made.succeeded(number(1), Answer("VERIFIED", "1", "R"))
        with locked(tmp_path / STORE):
            storage.save()
            storage.save()
            assert not storage.up()
        assert caplog.text.count("cannot be stored") == 1
        storage.save()
        assert storage.up()
    assert "stored again" in caplog.text
    storage.stop()
    assert restored(tmp_path, clock)[1] == 2
    assert not list(tmp_path.glob("*.unreadable-*"))


def test_stopping_saves_what_came_last(tmp_path: Path) -> None:
    clock = FakeClock()
    made = state(clock)
    storage = Storage(tmp_path, made, clock)
    storage.start()
    made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    storage.stop()
    assert restored(tmp_path, clock)[1] == 1


def damage_first_page(store: Path) -> None:
    with store.open("r+b") as file:
        file.write(os.urandom(200))


def damage_a_later_page(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


def truncate(store: Path) -> None:
    os.truncate(store, 0)


def cut_in_half(store: Path) -> None:
    os.truncate(store, store.stat().st_size // 2)


def remove(store: Path) -> None:
    store.unlink()


def remove_folder(store: Path) -> None:
    shutil.rmtree(store.parent)


def replace_folder(store: Path) -> None:
    shutil.rmtree(store.parent)
    store.parent.mkdir()


def put_a_folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def put_a_pipe(store: Path) -> None:
    store.unlink()
    os.mkfifo(store)


def put_a_link(store: Path) -> None:
    store.unlink()
    store.symlink_to(store.with_name("victim"))
    store.with_name("victim").write_text("precious")


def change_the_schema(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as other:
        other.execute("ALTER TABLE answers ADD COLUMN quality TEXT")


def add_a_trigger(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as other:
        other.execute("CREATE TRIGGER t AFTER DELETE ON answers BEGIN UPDATE answers SET status = 'VERIFIED'; END")


def forget_rows(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as other, other:
        other.execute("DELETE FROM answers WHERE phone_number LIKE '%3'")


HARMS: list[tuple[Callable[[Path], None], bool]] = [
    (damage_first_page, True),
    (damage_a_later_page, True),
    (cut_in_half, True),
    (put_a_folder, True),
    (put_a_pipe, True),
    (put_a_link, True),
    (change_the_schema, True),
    (add_a_trigger, True),
    (truncate, False),
    (remove, False),
    (remove_folder, False),
    (replace_folder, False),
    (forget_rows, False),
]


@pytest.mark.parametrize(("harm", "is_set_aside"), HARMS, ids=[harm.__name__ for harm, _ in HARMS])
def test_a_store_that_is_damaged_at_run_time_is_written_again_from_memory_by_the_next_save(
    tmp_path: Path, harm: Callable[[Path], None], is_set_aside: bool
) -> None:
    """Even without a new answer, because an interval can be an hour.  The old file is renamed, never deleted."""
    clock, folder = FakeClock(), tmp_path / "state"
    made = state(clock, 200)
    for index in range(200):
        made.succeeded(number(index), Answer("VERIFIED", f"id-{index}", "R"))
    storage = Storage(folder, made, clock)
    storage.restore()
    storage.save()
    harm(folder / STORE)
    storage.save()
    assert storage.up()
    storage.stop()
    asides = [path for path in folder.iterdir() if ".unreadable-" in path.name]
    assert len(asides) == is_set_aside
    assert restored(folder, clock, 200)[1] == 200
    if harm is put_a_link:
        assert (folder / "victim").read_text() == "precious"
        assert asides[0].is_symlink()


@pytest.mark.parametrize("side", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.with_name("victim"))])
def test_a_side_file_that_is_not_a_regular_file_is_renamed_with_the_store(
    tmp_path: Path, put: Callable[[Path], None], side: str
) -> None:
    """SQLite waits for ever for a pipe, and refuses a folder or a link at each save."""
    clock, made = FakeClock(), state(FakeClock())
    storage = Storage(tmp_path, made, clock)
    storage.restore()
    made.succeeded(number(0), Answer("VERIFIED", "id-0", "R"))
    storage.save()
    put(tmp_path / f"{STORE}{side}")
    made.succeeded(number(1), Answer("VERIFIED", "id-1", "R"))
    begin(storage.save, "saving").result(HANGING_SECONDS)
    assert storage.up()
    storage.stop()
    assert os.path.lexists(next(tmp_path.glob(f"*.unreadable-*{side}")))
    assert not (tmp_path / "victim").exists()
    assert restored(tmp_path, clock)[1] == 2


def test_two_stores_that_are_set_aside_in_one_second_are_both_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    for content in (b"one" * 2000, b"two" * 2000):
        (tmp_path / STORE).write_bytes(content)
        restored(tmp_path, clock)
    assert sorted(path.read_bytes()[:3] for path in tmp_path.glob("*.unreadable-*")) == [b"one", b"two"]


def test_sqlite_side_files_are_renamed_with_their_store(tmp_path: Path) -> None:
    """SQLite would apply it to the new store."""
    (tmp_path / STORE).mkdir()
    (tmp_path / f"{STORE}-journal").write_bytes(b"of that one")
    saved(tmp_path, FakeClock(), "VERIFIED")
    (aside,) = tmp_path.glob("*.unreadable-*-journal")
    assert aside.read_bytes() == b"of that one"


def test_answers_in_a_write_ahead_log_that_a_kill_left_are_read(tmp_path: Path) -> None:
    """Another program turned the log on; its content is part of the store."""
    clock, other = FakeClock(), tmp_path / "other"
    saved(other, clock, "VERIFIED", "VERIFIED")
    with contextlib.closing(sqlite3.connect(other / STORE)) as store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("UPDATE answers SET status = 'EXPIRED'")
        store.commit()
        shutil.copytree(other, tmp_path / "killed")
    assert (tmp_path / "killed" / f"{STORE}-wal").stat().st_size
    made, found = restored(tmp_path / "killed", clock)
    assert (found, shown(made)[:2]) == (2, ["EXPIRED", "EXPIRED"])


def test_a_store_that_is_locked_at_the_start_is_read_once_it_is_free_and_not_written_before(tmp_path: Path) -> None:
    """A temporary fault does not rename the store, and loses no content."""
    clock = FakeClock()
    saved(tmp_path, clock, "EXPIRED", "EXPIRED")
    made = state(clock, 2)
    storage = Storage(tmp_path, made, clock, busy_seconds=0.0)
    with locked(tmp_path / STORE):
        assert storage.restore() == 0
        assert not storage.up()
        made.succeeded(number(0), Answer("VERIFIED", "1", "R"))
        storage.save()
    storage.save()
    assert storage.up()
    assert shown(made) == ["VERIFIED", "EXPIRED"]
    storage.stop()
    assert shown(restored(tmp_path, clock, 2)[0]) == ["VERIFIED", "EXPIRED"]
    assert not list(tmp_path.glob("*.unreadable-*"))


def test_a_folder_that_another_exporter_took_over_is_left_to_it(tmp_path: Path) -> None:
    """Two writers of one store would overwrite each other's data."""
    clock, folder = FakeClock(), tmp_path / "state"
    made = state(clock, 1)
    storage, other = (Storage(folder, made, clock) for _ in range(2))
    storage.restore()
    shutil.rmtree(folder)
    other.restore()
    storage.save()
    assert not storage.up()
    assert not (folder / STORE).exists()
    other.stop()
    storage.save()
    assert storage.up()
    storage.stop()


def test_a_save_that_does_not_end_counts_as_failed(tmp_path: Path) -> None:
    """On a mount that hangs no call fails, but it must be noticed."""
    clock = FakeClock()
    entered, may_end = threading.Event(), threading.Event()

    class HangingState(State):
        def snapshot(self) -> Snapshot:
            entered.set()
            assert may_end.wait(PATIENCE_SECONDS)
            return super().snapshot()

    made = HangingState(clock)
    storage = Storage(tmp_path, made, clock)
    may_end.set()
    storage.save()
    may_end.clear()
    entered.clear()
    saving = threading.Thread(target=storage.save)
    saving.start()
    assert entered.wait(PATIENCE_SECONDS)
    assert storage.up()
    clock.advance(11)
    assert not storage.up()
    may_end.set()
    saving.join(PATIENCE_SECONDS)
    assert storage.up()
    storage.stop()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_open_to_others_is_closed_and_what_is_open_to_a_group_stays_so(tmp_path: Path) -> None:
    """Kubernetes gives a volume to a group (`fsGroup`): the folder is setgid, and the group can write everything."""
    saved(tmp_path, FakeClock(), "VERIFIED")
    for folder_mode, file_mode, folder_after, file_after in (
        (0o777, 0o666, 0o775, 0o660),
        (0o2777, 0o644, 0o2775, 0o640),
        (0o2770, 0o660, 0o2770, 0o660),
        (0o700, 0o600, 0o700, 0o600),
    ):
        tmp_path.chmod(folder_mode)
        (tmp_path / STORE).chmod(file_mode)
        assert restored(tmp_path, FakeClock())[1] == 1
        assert (mode(tmp_path), mode(tmp_path / STORE)) == (folder_after, file_after)


def test_a_folder_that_is_meant_for_all_is_refused_and_one_inside_it_is_not(tmp_path: Path) -> None:
    """If anyone can write a file there, anyone decides what is restored."""
    tmp_path.chmod(0o1777)
    with pytest.raises(OSError, match=r"^--storage.path=.*anyone may write .*mode 1777.*name a folder inside it"):
        restored(tmp_path, FakeClock())
    assert restored(tmp_path / "inside", FakeClock())[1] == 0
    assert mode(tmp_path) == 0o1777


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"--storage\.path"):
        restored(tmp_path, FakeClock())
    assert not (tmp_path / "victim").exists()


def planted(folder: Path, **values: object) -> None:
    """A store with these values for the first number."""
    saved(folder, FakeClock(), "VERIFIED")
    with contextlib.closing(sqlite3.connect(folder / STORE)) as store, store:
        for column, value in values.items():
            store.execute(f"UPDATE answers SET {column} = ?", (value,))  # noqa: S608 - a test's own names


@pytest.mark.parametrize(
    "values",
    [
        {"status": "x" * 5_000_000},
        {"phone_number_id": "x" * 5_000_000},
        {"status": " "},
        {"status": b"VERIFIED"},
        {"extra_statuses": "[" * 60_000},
        {"extra_statuses": '{"a": 1}'},
        {"extra_statuses": "[1]"},
        {"success_unix": "inf"},
        {"success_unix": -1.0},
        {"success_unix": float("inf")},
        {"status_since_unix": -1.0},
    ],
    ids=str,
)
def test_a_store_with_impossible_values_is_renamed(tmp_path: Path, values: dict[str, object]) -> None:
    planted(tmp_path, **values)
    assert restored(tmp_path, FakeClock())[1] == 0
    assert list(tmp_path.glob("*.unreadable-*"))


def test_what_is_restored_is_bounded_and_redacted_as_an_answer_is(tmp_path: Path) -> None:
    """Otherwise a status that is stored twice makes two equal series, and Prometheus refuses the whole scrape."""
    clock = FakeClock()
    many = [f"S{index}" for index in range(100)]
    planted(
        tmp_path,
        status="x" * 1000,
        extra_statuses=json.dumps([*many, *many, "VERIFIED", UNKNOWN]),
        phone_number_id="y" * 1000,
        status_since_unix=clock.now_unix + 1e6,
    )
    made, found = restored(tmp_path, clock, 1)
    assert found == 1
    (record,) = made.snapshot().numbers
    assert (len(record.status), len(record.phone_number_id)) == (128, 128)
    assert record.extra_statuses == (*many[-15:], "x" * 128)
    assert record.status_since_unix == record.success_unix


def test_a_number_that_is_shown_masked_is_not_restored_in_full(tmp_path: Path) -> None:
    clock, shown_masked = FakeClock(), replace(number(0), label="44***00")
    planted(tmp_path, phone_number_id=f"id of {shown_masked.phone_number}")
    made = State(clock)
    made.configure([shown_masked], {"main": STALE_AFTER})
    storage = Storage(tmp_path, made, clock)
    storage.restore()
    storage.stop()
    (record,) = made.snapshot().numbers
    assert record.phone_number_id == "id of 44***00"


def guarded(folder: Path, guards: Mapping[str, float], learnt: dict[str, float]) -> Storage:
    """A store that keeps the guard times `guards`, and restores them into `learnt`."""
    made = State(FakeClock())
    learns = Learnt(guards=lambda: guards, learn=learnt.update, max_guard_seconds=0.35)
    return Storage(folder, made, FakeClock(), learnt=learns)


def test_what_accounts_learnt_about_their_paths_is_kept(tmp_path: Path) -> None:
    """In milliseconds, and for existing accounts."""
    storage = guarded(tmp_path, {"care": 0.17649, "shop": 0.0, "gone": 0.2}, {})
    storage.save()
    storage.stop()
    learnt: dict[str, float] = {}
    storage = guarded(tmp_path, {"care": 0.0, "shop": 0.0}, learnt)
    assert storage.restore() == 0
    storage.stop()
    assert learnt == {"care": 0.176}


def test_a_guard_that_changed_is_saved_though_no_answer_did(tmp_path: Path) -> None:
    guards = {"main": 0.1}
    storage = guarded(tmp_path, guards, {})
    storage.save()
    first = (tmp_path / STORE).stat().st_mtime_ns
    storage.save()
    assert (tmp_path / STORE).stat().st_mtime_ns == first, "nothing changed"
    guards["main"] = 0.15
    storage.save()
    storage.stop()
    learnt: dict[str, float] = {}
    storage = guarded(tmp_path, guards, learnt)
    storage.restore()
    storage.stop()
    assert learnt == {"main": 0.15}


@pytest.mark.parametrize("absurd", [-0.1, 0.0, 0.36, 1e300, math.inf, "much", b"\0"])
def test_an_absurd_guard_in_the_store_is_ignored(tmp_path: Path, absurd: object) -> None:
    storage = guarded(tmp_path, {"main": 0.1, "other": 0.2}, {})
    storage.save()
    storage.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as store, store:
        store.execute("UPDATE guards SET seconds = ? WHERE account = 'main'", (absurd,))
    learnt: dict[str, float] = {}
    storage = guarded(tmp_path, {"main": 0.0, "other": 0.0}, learnt)
    storage.restore()
    storage.stop()
    assert learnt == {"other": 0.2}


def test_a_store_from_before_guards_were_kept_keeps_its_answers(tmp_path: Path) -> None:
    clock = FakeClock()
    saved(tmp_path, clock, "VERIFIED")
    with contextlib.closing(sqlite3.connect(tmp_path / STORE)) as store, store:
        store.execute("DROP TABLE guards")
    made, found = restored(tmp_path, clock, 1)
    assert (found, shown(made)) == (1, ["VERIFIED"])


def test_without_a_storage_path_sqlite_is_not_loaded() -> None:
    """Only `exporter.state.storage` and what it imports use SQLite; the coverage measurement does as well."""
    program = "import sys, exporter.app, exporter.cli.serve; sys.exit('exporter.state.storage' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_SECONDS)
