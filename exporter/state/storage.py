"""What is known of each number on disk, so that it is known right after a restart (`--storage.path`).

That is its last answer, what listings said of it, and its last health check; `tables` has the rows.  Numbers that
listings found are polled right after a restart, even if the API is down.  The guard of each account is stored, too:
what throttles taught about its path (see `budget`).

The store is an SQLite file; a save is one transaction.  A crash loses what came since the last save, never the store.
What is restored keeps its true time, so it goes stale when it should.

All of this happens on a thread: neither a slow disk nor a mount that hangs delays a poll, a scrape or the end.  A store
that is damaged, replaced or removed is written again from memory.  The damaged file is renamed, never deleted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

from exporter.logs import fields
from exporter.model import Clock, NumberKey
from exporter.state import tables
from exporter.state.folder import Folder
from exporter.state.found import Absence, StoredFound
from exporter.state.store import State
from exporter.state.tables import SCHEMA, TABLES, Stored, Table
from exporter.threads import begin, start_daemon

logger = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""The time between two saves: what a crash loses at most."""

OPEN_SECONDS = 5.0
"""How long a start waits for the stored answers; on a mount that hangs they come later or never."""

STOP_SECONDS = 2.5
"""How long a stop waits for the last save."""

HANG_SECONDS = 10.0
"""A save that takes longer counts as failed until it ends."""

BUSY_SECONDS = 2.0
"""How long a save waits while another program locks the store; then the next save tries again."""

FILE = "answers.sqlite3"

_SIDE_FILES = ("-journal", "-wal", "-shm")
"""SQLite keeps these files beside a store and applies them to any file with its name."""

Guards = Mapping[str, float]
"""Accounts and their guards in seconds."""

_MAX_VALUE_BYTES = 1 << 20
"""More than any row of this exporter has: the errors of a health check take up to 260,000 bytes."""

_HELPLESS = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT}
"""Errors that mean that the folder cannot be used; other errors may go away."""

_Stamp = tuple[int, ...] | None


class _Harmed(Exception):  # noqa: N818 - a state of the store, not of this program
    """The store is not as this exporter wrote it: it is set aside."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is stored of accounts.

    `guards` returns the guards to save; `learn` gets those that were saved, up to `max_guard_seconds`.  `absences` are
    the numbers that listings found; `find` gets those that were stored, and puts them in force.  `hide` takes phone
    numbers that must not be shown out of a text.
    """

    guards: Callable[[], Guards] = dict
    learn: Callable[[Guards], None] = lambda _: None
    max_guard_seconds: float = math.inf
    absences: Callable[[], Mapping[NumberKey, Absence]] = dict
    find: Callable[[Mapping[NumberKey, StoredFound]], None] = lambda _: None
    hide: Callable[[str], str] = str


class Storage:
    """The store in `folder`, which is created if it is missing; other users cannot read its files."""

    def __init__(
        self,
        folder: Path,
        state: State,
        clock: Clock,
        *,
        learnt: Learnt | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._busy_seconds = busy_seconds
        self._learnt = learnt or Learnt()
        self._state = state
        self._clock = clock
        self._folder = Folder(folder)
        self._path = folder / FILE
        self._is_restored = False
        self._saved: dict[str, dict[NumberKey, object]] | None = None  # by table; None: it is not known what it holds
        self._saved_guards: Guards = {}
        self._stamp: _Stamp = None
        self._well: bool | None = None  # whether the last restore or save succeeded; None before the first
        self._began_at: float | None = None  # of the work on the disk under way; None if there is none
        self._stopped = threading.Event()
        self._opening: Future[int] | None = None
        self._thread: threading.Thread | None = None

    def up(self) -> bool:
        """Whether answers outlive a restart: the last save succeeded, and none takes too long."""
        began_at = self._began_at
        return self._well is True and (began_at is None or self._clock.monotonic() - began_at < HANG_SECONDS)

    def open(self, seconds: float = OPEN_SECONDS) -> None:
        """Restore, waiting for at most `seconds`.

        Raises OSError, with a text for the user, if the folder is unusable or another exporter uses it.
        """
        self._opening = begin(self.restore, "storage-opening")
        if wait([self._opening], seconds).not_done:
            logger.error("the store does not answer, going on without it", extra=fields(path=self._path))
        else:
            self._opening.result()

    def restore(self) -> int:
        """Give the stored answers to the state; returns the count of numbers.  Raises OSError as `open` does."""
        try:
            with self._under_way():
                self._folder.hold()
                restored = self._restore()
        except OSError as error:
            if error.errno is None:
                raise
            if error.errno in _HELPLESS:
                why = (error.strerror or "unusable").lower()
                raise OSError(
                    f"--storage.path={self._folder.path}: {why}; name a folder that this user may write to"
                ) from None
            self._failed(error)
        except sqlite3.Error as error:
            self._failed(error)
        else:
            self._well = True
            return restored
        return 0

    def start(self) -> None:
        """Save every `SAVE_SECONDS` from now on; if no thread can start, that is logged and the next call retries."""
        if self._thread is not None:
            return
        try:
            self._thread = start_daemon(self._run, "storage")
        except OSError as error:
            self._failed(error)

    def stop(self) -> None:
        """Save once more and release the folder; a save that hangs is abandoned."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        if self._thread is None or not self._thread.is_alive():
            self._folder.release()

    def save(self) -> None:
        """Write the changes since the last save; a failure is logged, and the next save tries again."""
        try:
            with self._under_way():
                self._folder.hold()
                self._restore()
                self._save()
        except (sqlite3.Error, OSError, _Harmed) as error:
            self._failed(error)
        except Exception:  # a loop that ends would lose all later answers: log it and go on
            self._well = False
            logger.exception("storing failed")
        else:
            if self._well is False:
                logger.info("answers are stored again", extra=fields(path=self._path))
            self._well = True

    def _run(self) -> None:
        if self._opening is not None:
            wait([self._opening])
        while not self._stopped.wait(SAVE_SECONDS):
            self.save()
        self.save()

    @contextlib.contextmanager
    def _under_way(self) -> Iterator[None]:
        self._began_at = self._clock.monotonic()
        try:
            yield
        finally:
            self._began_at = None

    def _failed(self, error: Exception) -> None:
        if self._well is not False:
            logger.error("answers cannot be stored", extra=fields(path=self._path, error=error))
        self._well = False

    def _restore(self) -> int:
        """Restore if that was not done yet: the store must be read before it is first written."""
        if self._is_restored:
            return 0
        restored = 0
        if _stamp(self._path) is not None:
            try:
                with self._connected() as store:
                    restored = self._restore_from(store)
            except _Harmed as error:
                self._set_aside(error)
        self._is_restored = True
        logger.info("answers restored", extra=fields(path=self._folder.path, numbers=restored))
        return restored

    def _restore_from(self, store: sqlite3.Connection) -> int:
        learnt, before = self._learnt, self._state.snapshot()
        stored = tables.Reader(store, before.at, before.unix)
        listings = stored.listings(learnt.hide)
        guards = _stored_guards(store, learnt.guards().keys(), learnt.max_guard_seconds)
        learnt.find(
            {key: StoredFound(of.listing, of.absence) for key, of in listings.items() if of.absence is not None}
        )
        records = self._state.snapshot().numbers
        answers = stored.answers({each.number.key: each.number for each in records if not each.status})
        unchecked = (each.number for each in records if each.health is None or each.health.answer is None)
        health = stored.health({number.key: number for number in unchecked})
        unlisted = [each.number for each in records if each.listing is None and each.number.key in listings]
        listed = [record for number in unlisted if (record := listings[number.key].record(number)) is not None]
        self._state.take_over([*listed, *health])
        learnt.learn(guards)
        return self._state.take_over(answers)

    def _save(self) -> None:
        stored = self._to_store()
        if _stamp(self._path) != self._stamp:  # another program changed or removed it
            self._saved = None
        guards = {name: milli for name, seconds in self._learnt.guards().items() if (milli := round(seconds, 3))}
        versions = {table.name: _versions(table, stored) for table in TABLES}
        if self._saved == versions and self._saved_guards == guards:
            return
        try:
            self._write(stored, versions, guards)
        except _Harmed as error:
            self._set_aside(error)
            self._write(stored, versions, guards)
        self._saved, self._saved_guards = versions, guards
        self._stamp = _stamp(self._path)

    def _to_store(self) -> dict[NumberKey, Stored]:
        absences, ahead_seconds = self._learnt.absences(), self._clock.unix() - self._clock.monotonic()
        return {
            (key := record.number.key): Stored(record, absences.get(key), ahead_seconds)
            for record in self._state.snapshot().numbers
        }

    def _write(
        self, stored: Mapping[NumberKey, Stored], versions: Mapping[str, Mapping[NumberKey, object]], guards: Guards
    ) -> None:
        with self._connected(check=self._saved is None) as store:
            for table in TABLES:
                saved, now = (self._saved or {}).get(table.name, {}), versions[table.name]
                table.delete(store, None if self._saved is None else iter(saved.keys() - now.keys()))
                changed = [key for key, version in now.items() if saved.get(key) != version]
                table.replace(store, {key: stored[key] for key in changed})
            store.execute("DELETE FROM guards")
            store.executemany("INSERT INTO guards VALUES (?, ?)", guards.items())

    @contextlib.contextmanager
    def _connected(self, *, check: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are committed at the end, or not at all.  Also raises _Harmed."""
        try:
            self._folder.open(FILE)
            self._check_side_files()
            with contextlib.closing(sqlite3.connect(self._path, timeout=self._busy_seconds)) as store, store:
                store.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
                store.execute("PRAGMA journal_mode = DELETE")  # another program may have chosen WAL
                _check_schema(store)
                if check and (found := store.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                    raise _Harmed(f"it is damaged: {found}")
                yield store
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # extended; its last byte is the plain code
            if isinstance(error, sqlite3.OperationalError) and code & 0xFF != sqlite3.SQLITE_ERROR:
                raise  # locked, full, read-only, ...: the store itself may be sound
            raise _Harmed(self._learnt.hide(str(error))) from None  # it may quote a value
        except (PermissionError, IsADirectoryError, ValueError, TypeError, RecursionError) as error:
            raise _Harmed(self._learnt.hide(str(error))) from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _Harmed("it is a symbolic link") from None

    def _check_side_files(self) -> None:
        """Raise _Harmed for a pipe, where SQLite waits for ever, and for a folder or link, where it always fails."""
        for side in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(Path(f"{self._path}{side}").lstat().st_mode):
                    raise _Harmed(f"{FILE}{side} is not a regular file")

    def _set_aside(self, harm: _Harmed) -> None:
        """Rename the store and SQLite's files beside it; raises OSError."""
        moved_to = first = f"{self._path}.unreadable-{self._clock.unix():.0f}"
        count = 0
        while os.path.lexists(moved_to):
            count += 1
            moved_to = f"{first}.{count}"
        self._path.replace(moved_to)
        for side in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{side}").replace(f"{moved_to}{side}")
        self._saved = self._stamp = None
        logger.warning(
            "the store cannot be used: it is set aside and written again from memory",
            extra=fields(moved_to=moved_to, error=harm),
        )


def _stamp(path: Path) -> _Stamp:
    """A value that changes when the file is written or replaced; None if there is no file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_schema(store: sqlite3.Connection) -> None:
    """Create missing tables; raises _Harmed if there is anything else, even a trigger."""
    found = {sql for (sql,) in store.execute("SELECT sql FROM sqlite_master")}
    if found - set(SCHEMA):
        raise _Harmed("it has another schema: another version of this exporter wrote it, or another program")
    for table in SCHEMA:
        if table not in found:
            store.execute(table)


def _versions(table: Table, stored: Mapping[NumberKey, Stored]) -> dict[NumberKey, object]:
    versions = ((key, table.version(of)) for key, of in stored.items())
    return {key: version for key, version in versions if version is not None}


def _stored_guards(store: sqlite3.Connection, accounts: Collection[str], max_seconds: float) -> Guards:
    """The stored guards of `accounts`, without values that no account ever learns."""
    return {
        account: seconds
        for account, seconds in store.execute("SELECT account, seconds FROM guards")
        if account in accounts and isinstance(seconds, float) and 0 < seconds <= max_seconds
    }
