"""One replica at work: looks at the store, and exchanges answers with the others.  The polling path never waits for it.

`step` is what a loop's thread calls.  It blocks for as long as the store takes, a few time-outs at most.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from exporter.cluster.answers import records
from exporter.cluster.answers.mail import Mail
from exporter.cluster.answers.records import Key
from exporter.cluster.leases.leases import Leases
from exporter.cluster.session import Calls, Session, Step
from exporter.cluster.store.calls import Exchange
from exporter.cluster.store.replies import StoreError
from exporter.logs import fields
from exporter.model import Clock, ClusterStatus

logger = logging.getLogger(__name__)

KEEP_SECONDS = 7 * 86400.0
"""The store forgets an answer that nobody renewed for this long: its number is gone."""


class Answers(Protocol):
    """What this process knows: `answers.shared.Shared`."""

    def begin(self) -> None:
        """A look begins."""

    def known(self) -> Collection[Key]:
        """All that there is to tell."""

    def written(self, keys: Sequence[Key]) -> Mapping[Key, tuple[float, bytes]]:
        """How old each entry is, in seconds, and its payload; without those of which there is nothing to tell."""

    def read(self, entries: Sequence[tuple[Key, bytes, float]]) -> None:
        """Take over entries, with their payloads and ages in seconds; one that cannot be read is left out."""


class Stored(Calls, Protocol):
    """The store, for answers too: `store.calls.Store`."""

    def exchange(
        self, me: str, epoch: str, since: str, keep_seconds: float, answers: Sequence[tuple[str, float, bytes]]
    ) -> Exchange | None:
        """Write answers and read those of others; None in another epoch.  Raises StoreError."""

    def close(self) -> None:
        """Close the connections."""


class Replica:
    """The part of this process.  `step` and `leave` are for one thread at a time; the rest is thread-safe."""

    def __init__(self, store: Stored, leases: Leases, session: Session, known: Answers, clock: Clock) -> None:
        self._store = store
        self._leases = leases
        self._session = session
        self._answers = known
        self._clock = clock
        self._mail = Mail()
        self._lock = threading.Lock()  # guards the four below
        self._posted: dict[Key, None] = {}
        self._configuration: tuple[Collection[str], str] | None = None  # for the next step
        self._status = ClusterStatus(False, {}, {}, {}, is_spare=False)
        self._held_until: Mapping[str, float] = {}
        self._is_well: bool | None = None  # as it was logged

    def configure(self, accounts: Collection[str], config_hash: str) -> None:
        """Take over a configuration at the next step; accounts that are gone are handed over."""
        with self._lock:
            self._configuration = accounts, config_hash

    def post(self, key: Key) -> None:
        """There is something new to tell of this."""
        with self._lock:
            self._posted[key] = None

    def status(self) -> ClusterStatus:
        """How the cluster looked at the last step."""
        with self._lock:
            return self._status

    def holds(self, account: str) -> bool:
        """Whether this replica has the right to the account now: the right also ends where a step hangs."""
        with self._lock:
            until = self._held_until.get(account, -math.inf)
        return self._clock.monotonic() < until

    def step(self) -> float:
        """One look; returns the instant of the next one."""
        began_at = self._clock.monotonic()
        follows = False
        with self._lock:
            configuration, self._configuration = self._configuration, None
        if configuration is not None:
            self._session.configure(*configuration)
            self._mail.read_again()
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
        """Exchange answers once more, and hand over; a store that is away changes nothing."""
        held = sum(map(self.holds, self._leases.rights()))
        try:
            self._exchange()
            self._run(self._session.leave())
        except StoreError as error:
            if held:
                facts = fields(count=held, error=error)
                logger.warning("accounts cannot be handed over: they rest for a lease", extra=facts)
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
        self._answers.begin()
        with self._lock:
            self._mail.post(self._posted)
            self._posted.clear()
        if self._mail.epoch != epoch:
            self._mail.enter(epoch, self._answers.known())
        keys = self._mail.batch()
        me, asked_at = f"{self._leases.me}.{self._mail.readings}", self._clock.monotonic()
        told = self._answers.written(keys)
        written = [(records.key_text(key), *of) for key, of in told.items() if of[0] <= KEEP_SECONDS]
        try:
            found = self._store.exchange(me, epoch, self._mail.since, KEEP_SECONDS, written)
        except StoreError:
            self._mail.post(keys)
            raise
        if found is None:  # another epoch: the next contact says which
            self._mail.post(keys)
            return False
        self._read(found)
        self._mail.read(found, asked_at)
        return self._mail.is_behind or not found.is_all

    def _read(self, exchange: Exchange) -> None:
        """Take over the answers of others."""
        entries = []
        for entry in exchange.entries:
            now = self._clock.monotonic()
            try:
                key = records.key_of(entry.key)
            except StoreError as error:
                logger.debug("an answer in the store is left out", extra=fields(error=error))
            else:
                entries.append((key, entry.payload, self._mail.age_seconds(exchange, entry.written_ms, now)))
        self._answers.read(entries)

    def _note(self) -> None:
        now = self._clock.monotonic()
        live = {each.id: each.name for each in self._leases.live(now)}
        holders = self._leases.holders()
        status = ClusterStatus(
            store_up=self._leases.store_up and self._is_well is True,
            replicas=live,
            holders=holders,
            lease_changes=dict(self._leases.changes),
            is_spare=self._leases.is_spare,
            is_extra=self._leases.is_extra,
        )
        with self._lock:
            before, self._status = self._status, status
            self._held_until = {account: right.until_at for account, right in self._leases.rights().items()}
        if status.is_extra and not before.is_extra:
            logger.warning(
                "this replica polls nothing, since there are more than `replicas` says; raise that, or end one",
                extra=fields(replicas=len(live)),
            )
        elif before.is_extra and not status.is_extra:
            logger.info("this replica polls: there are no more than `replicas` says")

    def _say(self, error: StoreError | None) -> None:
        if error is not None and self._is_well is not False:
            logger.error("the cluster's store fails", extra=fields(error=error))
        elif error is None and self._is_well is False:
            logger.info("the cluster's store answers again")
        self._is_well = error is None
