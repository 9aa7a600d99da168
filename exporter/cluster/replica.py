"""One replica at work: looks at the store, and exchanges answers with the others.  The polling path never waits for it.

`step` is what a loop's thread calls.  It blocks for as long as the store takes, a few time-outs at most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from typing import Protocol

from exporter.cluster import answers
from exporter.cluster.leases import Leases
from exporter.cluster.mail import Mail
from exporter.cluster.replies import StoreError
from exporter.cluster.session import Session, Step
from exporter.cluster.store import Entry, Exchange, Store
from exporter.logs import fields
from exporter.model import Clock, ClusterStatus, NumberKey
from exporter.state.store import NumberState

logger = logging.getLogger(__name__)

KEEP_SECONDS = 7 * 86400.0
"""The store forgets an answer that nobody renewed for this long: its number is gone."""


class Answers(Protocol):
    """The answers of this process: `state.store.State`.  Thread-safe."""

    def get(self, key: NumberKey) -> NumberState | None:
        """One number's record; None if it is not configured."""

    def answered(self) -> Collection[NumberKey]:
        """The numbers that were polled, by whomever."""

    def take_over(self, record: NumberState) -> None:
        """Keep what is newer in `record` (`answers.merged`); nothing for a number that is gone."""


class Replica:
    """The part of this process.  `step` and `leave` are for one thread at a time; the rest is thread-safe."""

    def __init__(self, store: Store, leases: Leases, session: Session, known: Answers, clock: Clock) -> None:
        self._store = store
        self._leases = leases
        self._session = session
        self._answers = known
        self._clock = clock
        self._mail = Mail()
        self._lock = threading.Lock()  # guards the three below
        self._posted: dict[NumberKey, None] = {}
        self._configuration: tuple[Collection[str], str] | None = None  # for the next step
        self._status = ClusterStatus(False, {}, (), {}, {}, is_spare=False)
        self._is_well: bool | None = None  # as it was logged

    def configure(self, accounts: Collection[str], config_hash: str) -> None:
        """Take over a configuration at the next step; accounts that are gone are handed over."""
        with self._lock:
            self._configuration = accounts, config_hash

    def polled(self, key: NumberKey) -> None:
        """A poll of this number ended here: the others will be told."""
        with self._lock:
            self._posted[key] = None

    def status(self) -> ClusterStatus:
        """How the cluster looked at the last step."""
        with self._lock:
            return self._status

    def step(self) -> float:
        """One look; returns the instant of the next one."""
        began_at = self._clock.monotonic()
        follows = False
        with self._lock:
            configuration, self._configuration = self._configuration, None
        if configuration is not None:
            self._session.configure(*configuration)
        try:
            follows = self._run(self._session.step())
            while self._exchange() and self._clock.monotonic() < began_at + self._leases.timing.look_seconds:
                pass
        except StoreError as error:
            self._say(error)
        else:
            self._say(None)
        self._note()
        return self._clock.monotonic() if follows else began_at + self._leases.timing.look_seconds

    def leave(self) -> None:
        """Write what is left, and hand over; a store that is away changes nothing."""
        try:
            self._exchange()
            self._run(self._session.leave())
        except StoreError as error:
            logger.warning("accounts cannot be handed over: they rest for a lease", extra=fields(error=error))
        self._note()
        self._store.close()

    def _run(self, step: Step) -> bool:
        """Make the calls of a step; returns what it returns.  Raises StoreError."""
        failure: StoreError | None = None
        answer: object = None
        while True:
            try:
                call = step.send(answer) if failure is None else step.throw(failure)
            except StopIteration as end:
                return bool(end.value)
            answer, failure = None, None
            try:
                answer = call(self._store)
            except StoreError as error:
                failure = error

    def _exchange(self) -> bool:
        """Write and read answers once; returns whether there is more.  Raises StoreError."""
        epoch = self._leases.known[0]
        if not epoch:
            return False
        with self._lock:
            self._mail.post(self._posted)
            self._posted.clear()
        self._mail.enter(epoch, self._answers.answered())
        keys = self._mail.batch()
        asked_at, now_unix = self._clock.monotonic(), self._clock.unix()
        records = [record for key in keys if (record := self._answers.get(key)) is not None]
        written = [
            (answers.key_text(record.number.key), age, answers.encoded(record, asked_at, now_unix))
            for record in records
            if (age := answers.freshest_age(record, now_unix)) <= KEEP_SECONDS
        ]
        try:
            found = self._store.exchange(self._leases.me, epoch, self._mail.since, KEEP_SECONDS, written)
        except StoreError:
            self._mail.failed(keys)
            raise
        if found is None:  # another epoch: the next contact says which
            self._mail.failed(keys)
            return False
        for entry in found.entries:
            self._read(entry, found)
        self._mail.read(found, asked_at)
        return self._mail.is_behind or not found.is_all

    def _read(self, entry: Entry, exchange: Exchange) -> None:
        """Take over one answer; one that cannot be read is left out."""
        now = self._clock.monotonic()
        try:
            record = self._answers.get(answers.key_of(entry.key))
            if record is None:
                return
            age_seconds = self._mail.age_seconds(exchange, entry.written_ms, now)
            theirs = answers.decoded(entry.payload, record.number, age_seconds, now, self._clock.unix())
        except StoreError as error:
            logger.debug("an answer in the store is left out", extra=fields(error=error))
        else:
            self._answers.take_over(theirs)

    def _note(self) -> None:
        now = self._clock.monotonic()
        live = {each.id: each.name for each in self._leases.live(now)}
        holders = self._leases.holders()
        status = ClusterStatus(
            store_up=self._leases.store_up,
            replicas=live,
            held=frozenset(account for account, right in self._leases.rights().items() if now < right.until_at),
            holders=holders,
            lease_changes=dict(self._leases.changes),
            is_spare=self._leases.is_spare,
        )
        with self._lock:
            self._status = status

    def _say(self, error: StoreError | None) -> None:
        if error is not None and self._is_well is not False:
            logger.error("the cluster's store fails", extra=fields(error=error))
        elif error is None and self._is_well is False:
            logger.info("the cluster's store answers again")
        self._is_well = error is None
