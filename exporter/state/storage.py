"""Each number's last answer on disk, so that the statuses are known right after a restart (`--storage.path`).

The guard of each account is stored, too: what throttles taught about its path (see `budget`).

The store is an SQLite file; a save is one transaction.  A crash loses the answers since the last save, never the store.
A restored status keeps its true success time, so it goes stale when it should.  Stored values are checked and bounded
like an answer of the API.

All of this happens on a thread: neither a slow disk nor a mount that hangs delays a poll, a scrape or the end.  A store
that is damaged, replaced or removed is written again from memory.  The damaged file is renamed, never deleted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

from exporter.cams.answers import Redaction
from exporter.logs import fields
from exporter.model import KNOWN_STATUSES, Clock, NumberKey, PhoneNumber
from exporter.state.folder import Folder
from exporter.state.store import MAX_EXTRA_STATUSES, NumberState, Remembered, State
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

_ANSWERS = """CREATE TABLE answers (
    account TEXT NOT NULL, cust_space_id TEXT NOT NULL, phone_number TEXT NOT NULL,
    status TEXT NOT NULL, extra_statuses TEXT NOT NULL, phone_number_id TEXT NOT NULL, request_id TEXT NOT NULL,
    success_unix REAL NOT NULL, status_since_unix REAL NOT NULL,
    PRIMARY KEY (account, cust_space_id, phone_number)
) WITHOUT ROWID"""
_GUARDS = "CREATE TABLE guards (account TEXT NOT NULL PRIMARY KEY, seconds REAL NOT NULL) WITHOUT ROWID"

Guards = Mapping[str, float]
"""Accounts and their guards in seconds."""

_MAX_VALUE_BYTES = 64 << 10
"""More than any row of this exporter has."""

_HELPLESS = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT}
"""Errors that mean that the folder cannot be used; other errors may go away."""

_Stamp = tuple[int, ...] | None


class _Harmed(Exception):  # noqa: N818 - a state of the store, not of this program
    """The store is not as this exporter wrote it: it is set aside."""


class Storage:
    """The store in `folder`, which is created if it is missing; other users cannot read its files.

    `guards` returns the guards to save; `learn` gets those that were saved, up to `max_guard_seconds`.
    """

    def __init__(
        self,
        folder: Path,
        state: State,
        clock: Clock,
        *,
        guards: Callable[[], Guards] = dict,
        learn: Callable[[Guards], None] = lambda _: None,
        max_guard_seconds: float = math.inf,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._busy_seconds = busy_seconds
        self._guards = guards
        self._learn = learn
        self._max_guard_seconds = max_guard_seconds
        self._state = state
        self._clock = clock
        self._folder = Folder(folder)
        self._path = folder / FILE
        self._is_restored = False
        self._saved: dict[NumberKey, float | None] | None = None  # None: it is not known what the store holds
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
        remembered: dict[NumberKey, Remembered] = {}
        guards: Guards = {}
        if _stamp(self._path) is not None:
            numbers = {record.number.key: record.number for record in self._state.snapshot().numbers}
            try:
                with self._connected() as store:
                    remembered = _rows(store, numbers)
                    guards = _stored_guards(store, self._guards().keys(), self._max_guard_seconds)
            except _Harmed as error:
                self._set_aside(error)
        restored = self._state.restore(remembered)
        self._learn(guards)
        self._is_restored = True
        logger.info("answers restored", extra=fields(path=self._folder.path, numbers=restored))
        return restored

    def _save(self) -> None:
        records = {record.number.key: record for record in self._state.snapshot().numbers if record.success_unix}
        if _stamp(self._path) != self._stamp:  # another program changed or removed it
            self._saved = None
        guards = {account: milli for account, seconds in self._guards().items() if (milli := round(seconds, 3))}
        times = {key: record.success_unix for key, record in records.items()}
        if self._saved == times and self._saved_guards == guards:
            return
        try:
            self._write(records, guards)
        except _Harmed as error:
            self._set_aside(error)
            self._write(records, guards)
        self._saved, self._saved_guards = times, guards
        self._stamp = _stamp(self._path)

    def _write(self, records: Mapping[NumberKey, NumberState], guards: Guards) -> None:
        saved = self._saved
        with self._connected(check=saved is None) as store:
            if saved is None:
                saved = {}
                store.execute("DELETE FROM answers")
            store.executemany(
                "DELETE FROM answers WHERE (account, cust_space_id, phone_number) = (?, ?, ?)",
                saved.keys() - records.keys(),
            )
            changed = (item for item in records.items() if saved.get(item[0]) != item[1].success_unix)
            store.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_row(key, record) for key, record in changed),
            )
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
            raise _Harmed(str(error)) from None
        except (PermissionError, IsADirectoryError, ValueError, TypeError, RecursionError) as error:
            raise _Harmed(str(error)) from None
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
    if found - {_ANSWERS, _GUARDS}:
        raise _Harmed("it has another schema: another version of this exporter wrote it, or another program")
    for table in (_ANSWERS, _GUARDS):
        if table not in found:
            store.execute(table)


def _row(key: NumberKey, record: NumberState) -> tuple[object, ...]:
    return (
        *key,
        record.status,
        json.dumps(record.extra_statuses),
        record.phone_number_id,
        "",  # the column request_id, which no version reads
        record.success_unix,
        record.status_since_unix,
    )


def _rows(store: sqlite3.Connection, numbers: Mapping[NumberKey, PhoneNumber]) -> dict[NumberKey, Remembered]:
    """The stored answers of `numbers`; raises ValueError or TypeError for values that no save writes."""
    found: dict[NumberKey, Remembered] = {}
    for row in store.execute("SELECT * FROM answers"):  # the schema was checked
        key = NumberKey(*row[:3])
        number = numbers.get(key)
        if number is not None:
            found[key] = _remembered(row[3:], Redaction(number))
    return found


def _stored_guards(store: sqlite3.Connection, accounts: Collection[str], max_seconds: float) -> Guards:
    """The stored guards of `accounts`, without values that no account ever learns."""
    return {
        account: seconds
        for account, seconds in store.execute("SELECT account, seconds FROM guards")
        if account in accounts and isinstance(seconds, float) and 0 < seconds <= max_seconds
    }


def _remembered(values: tuple[object, ...], redaction: Redaction) -> Remembered:
    status, extra, phone_number_id, _, success_unix, since_unix = values
    extra_statuses = json.loads(_text(extra))
    if not isinstance(extra_statuses, list):
        raise TypeError("a list of statuses was expected")
    known, *more = (redaction.verbatim(_text(text)) for text in (status, *extra_statuses))
    if not all(text.strip() for text in (known, *more)):
        raise ValueError("a status was expected")
    return Remembered(
        status=known,
        extra_statuses=tuple(text for text in dict.fromkeys((*more, known)) if text not in KNOWN_STATUSES)[
            -MAX_EXTRA_STATUSES:
        ],
        phone_number_id=redaction.verbatim(_text(phone_number_id)),
        success_unix=_time(success_unix),
        status_since_unix=min(_time(since_unix), _time(success_unix)),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _time(value: object) -> float:
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise TypeError("a time was expected")
    return value
