"""Each number's last answer on disk, so that a restart has no blind spot (`--storage.path`).

SQLite, one transaction a save: a crash loses what came since the last save, never the store.  A restored status keeps
its true success time, hence goes stale when it should.  A store that cannot be read is set aside, not fatal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from exporter.logs import fields
from exporter.model import Clock, NumberKey
from exporter.state import NumberState, Remembered, State

logger = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""The most that a crash loses, and the time a save takes."""

STOP_SECONDS = 3.0
"""How long a stop waits for the last save: a disk that hangs must not keep the process."""

DEAD_SECONDS = 60.0

_FILE = "answers.sqlite3"
_COLUMNS = (
    "account",
    "cust_space_id",
    "phone_number",
    "status",
    "extra_statuses",
    "phone_number_id",
    "request_id",
    "success_unix",
    "status_since_unix",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    account TEXT NOT NULL, cust_space_id TEXT NOT NULL, phone_number TEXT NOT NULL,
    status TEXT NOT NULL, extra_statuses TEXT NOT NULL, phone_number_id TEXT NOT NULL, request_id TEXT NOT NULL,
    success_unix REAL NOT NULL, status_since_unix REAL NOT NULL,
    PRIMARY KEY (account, cust_space_id, phone_number)
) WITHOUT ROWID
"""


class Storage:
    """The store in `folder`, which is made if need be; files are readable by their owner only.

    Raises OSError, with a text for the user, where the folder is of no use or another exporter has it.
    """

    def __init__(self, folder: Path, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._path = folder / _FILE
        self._saved: dict[NumberKey, float | None] = {}
        self._failing = False
        self._stopped = threading.Event()
        self._beat_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock")
        except OSError as error:
            if error.errno is None:
                raise
            why = (error.strerror or "unusable").lower()
            raise OSError(f"--storage.path={folder}: {why}; name a folder that this user may write to") from None

    def restore(self) -> int:
        """Give what is stored to the state; returns for how many numbers."""
        if not self._path.exists() or (self._path.is_file() and not self._path.stat().st_size):
            return 0  # a full disk leaves an empty file
        try:
            with self._connected() as store:
                rows = store.execute(f"SELECT {', '.join(_COLUMNS)} FROM answers").fetchall()  # noqa: S608 - constants
            remembered = {NumberKey(*row[:3]): _remembered(row) for row in rows}
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            self._set_aside(error)
            return 0
        self._saved = {key: known.success_unix for key, known in remembered.items()}
        return self._state.restore(remembered)

    def start(self) -> None:
        """Save now and then from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Save once more and let the store go."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        os.close(self._lock)

    def seconds_without_beat(self) -> float:
        """How long the saving loop has been silent."""
        return self._clock.monotonic() - self._beat_at

    def save(self) -> None:
        """Write what changed since the last save; a failure is logged, and what it concerns tried again next time."""
        records = {record.number.key: record for record in self._state.snapshot().numbers if record.success_unix}
        changed = {key: record for key, record in records.items() if self._saved.get(key) != record.success_unix}
        gone = self._saved.keys() - records.keys()
        if not changed and not gone:
            return
        try:
            with self._connected() as store:
                store.executemany("DELETE FROM answers WHERE (account, cust_space_id, phone_number) = (?, ?, ?)", gone)
                store.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (_row(key, record) for key, record in changed.items()),
                )
        except (sqlite3.Error, OSError) as error:
            if not self._failing:
                logger.error("answers cannot be stored", extra=fields(path=self._path, error=error))  # noqa: TRY400 - says all
            self._failing = True
            return
        if self._failing:
            logger.info("answers are stored again", extra=fields(path=self._path))
        self._failing = False
        self._saved = {key: record.success_unix for key, record in records.items()}

    def _run(self) -> None:
        while not self._stopped.wait(SAVE_SECONDS):
            self._beat_at = self._clock.monotonic()
            try:
                self.save()
            except Exception:  # a dead loop would lose what comes: say it and go on
                logger.exception("storing failed")
        self.save()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are committed at the end, or not at all."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite itself would make it readable by all
        with contextlib.closing(sqlite3.connect(self._path)) as store, store:
            store.execute(_SCHEMA)
            yield store

    def _set_aside(self, error: Exception) -> None:
        aside = self._path.with_name(f"{_FILE}.unreadable-{self._clock.unix():.0f}")
        try:
            self._path.replace(aside)
            self._path.with_name(f"{_FILE}-journal").unlink(missing_ok=True)
        except OSError:  # saving will say what is wrong, for as long as it is
            logger.warning("the store cannot be read", extra=fields(path=self._path, error=error))
        else:
            logger.warning("the store cannot be read and is set aside", extra=fields(moved_to=aside, error=error))


def _locked(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise OSError(f"{path.parent}: another exporter stores its answers there; give each a folder") from None
    return handle


def _row(key: NumberKey, record: NumberState) -> tuple[object, ...]:
    return (
        *key,
        record.status,
        json.dumps(record.extra_statuses),
        record.phone_number_id,
        record.request_id,
        record.success_unix,
        record.status_since_unix,
    )


def _remembered(row: tuple[object, ...]) -> Remembered:
    """A row as it was saved; raises ValueError or TypeError for anything else."""
    _, _, _, status, extra, phone_number_id, request_id, success_unix, since_unix = row
    extra_statuses = json.loads(str(extra))
    texts = (status, phone_number_id, request_id, *extra_statuses)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text was expected")
    return Remembered(
        status=str(status),
        extra_statuses=tuple(extra_statuses),
        phone_number_id=str(phone_number_id),
        request_id=str(request_id),
        success_unix=float(str(success_unix)),
        status_since_unix=float(str(since_unix)),
    )
