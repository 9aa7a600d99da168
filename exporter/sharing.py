"""One of several replicas: puts the cluster's rights into the pollers, and shows what the other replicas know.

Imported only with the section `cluster`.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from exporter.accounts import Accounts
from exporter.cluster.answers.shared import Shared
from exporter.cluster.leases.leases import Leases
from exporter.cluster.leases.timing import timing
from exporter.cluster.replica import Replica
from exporter.cluster.session import Session
from exporter.cluster.store import connecting
from exporter.cluster.store.calls import Redis, Store
from exporter.cluster.store.replies import StoreError
from exporter.config import ClusterConfig, Config
from exporter.config.sections.cluster import password_in
from exporter.fleet.fleets import Fleets
from exporter.logs import fields
from exporter.model import (
    ALWAYS,
    NEVER,
    AccountStatus,
    Clock,
    ClusterStatus,
    NumberKey,
    Pace,
    Right,
    spare_qps,
)
from exporter.polling.loop import Loop
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State
from exporter.threads import Bounded, StillRunningError

logger = logging.getLogger(__name__)

STOP_SECONDS = 1.0
"""How long a stop waits for a look at the store that is under way."""

LEAVE_SECONDS = 2.0
"""How long a stop takes at most to hand the accounts over."""

MAX_NAMED = 10
"""So many accounts are named in a line of the log."""


class Sharing:
    """The part of this process in the cluster.  Thread-safe, but for one configuration at a time.

    `hide` takes phone numbers that must not be shown out of a text.

    Implements `cluster.session.Polling` and `cluster.answers.shared.Holdings`.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        accounts: Accounts,
        state: State,
        fleets: Fleets,
        clock: Clock,
        priority: ScrapePriority,
        hide: Callable[[str], str],
    ) -> None:
        self.cluster = cluster
        self._accounts = accounts
        self.state = state
        self._fleets = fleets
        self._clock = clock
        times = timing(cluster.lease_seconds)
        store = Store(self._connected, connecting.asked, cluster.key_prefix, times.timeout_seconds)
        leases = Leases(uuid.uuid4().hex, times, cluster.replicas, clock.monotonic())
        session = Session(leases, self, clock.monotonic, f"{socket.gethostname()}:{os.getpid()}")
        self.shared = Shared(state, fleets, self, clock, priority, hide)
        self._replica = Replica(store, leases, session, self.shared, clock)
        self.shared.post = self._replica.post
        state.changed = lambda key: self._replica.post(("number", *key))
        fleets.gone = self.gone
        self._timeout_seconds = times.timeout_seconds
        self._lock = threading.Lock()  # guards the two below
        self._rates: Mapping[str, tuple[float, float]] = {}  # qps and quota of each account
        self._rights: dict[str, tuple[Right, int | None]] = {}  # in force, with the spare rate
        self._stepping = threading.Lock()  # held during a look
        self._left = False
        self._loop_lock = threading.Lock()
        self._loop = Loop("cluster", self._step, self._loop_lock, clock)

    def configure(self, config: Config, config_hash: int) -> None:
        """Take over a configuration whose accounts are in force; `config_hash` is its `config_number`."""
        with self._lock:
            self._rates = {account.name: (account.qps, account.quota) for account in config.accounts}
            self._forget()
        self._replica.configure([account.name for account in config.accounts], str(config_hash))

    def start(self) -> None:
        """Start looking at the store, unless that runs.  Raises OSError as `Loop.start`."""
        if not self._left and not self._loop.is_alive:
            cluster = self.cluster
            store = cluster.written_url or cluster.url or f"found by {len(cluster.sentinels)} sentinels"
            facts = {"store": store, "lease_seconds": cluster.lease_seconds, "replicas": cluster.replicas}
            logger.info("sharing the accounts with other replicas", extra=fields(**facts))
            self._loop.start()

    def stop(self) -> None:
        """Stop polling, and hand the accounts over: the others poll at once.  Bounded in time."""
        with self._loop_lock:
            self._loop.stop()
        if not self._stepping.acquire(timeout=STOP_SECONDS):
            logger.warning("accounts cannot be handed over: they rest for a lease, since the store does not answer")
            return
        try:
            self._left = True
            Bounded("cluster-leave").run(self._replica.leave, LEAVE_SECONDS)
        except StillRunningError:
            logger.warning("accounts cannot be handed over in time: they rest for a lease")
        finally:
            self._stepping.release()

    def seconds_without_heartbeat(self) -> float:
        """How long the loop has had no heartbeat; 0 if it does not run."""
        with self._loop_lock:
            return self._loop.seconds_without_heartbeat() if self._loop.is_alive else 0.0

    # What the rest of the exporter asks

    def status(self) -> ClusterStatus:
        """How the cluster looks from here."""
        return replace(self._replica.status(), spare_qps={name: self._spare_qps(name) for name, _ in self._accounts})

    def seen(self, own: AccountStatus) -> AccountStatus:
        """The status of an account: its own where this replica polls it, else what the holder told."""
        cluster = self._replica.status()
        is_held = self._replica.holds(own.account)
        is_polled = is_held or self.polls(own.account)
        holder = "" if cluster.is_spare else cluster.replicas.get(cluster.holders.get(own.account, ""), "")
        told = None if is_polled else self.shared.told(own)
        return replace(told or own, is_held=is_held, is_polled=is_polled, holder=holder)

    def polls(self, account: str) -> bool:
        """Whether this replica polls the account, with its right or at the spare rate."""
        with self._lock:
            return account in self._rights

    def unlisted(self, account: str) -> int:
        """How many first listings of an account that another replica holds have not ended, as far as is known."""
        found = self.shared.unlisted(account)
        return 1 if found is None else found

    def next_polls(self, keys: Iterable[NumberKey], interval_seconds: Mapping[str, float]) -> Mapping[NumberKey, float]:
        """About when numbers of accounts that others hold are polled next, as Unix seconds; infinity: not known.

        `interval_seconds` is by account; one may have left the configuration meanwhile.
        """
        found = {}
        for key in keys:
            record = self.state.get(key)
            polled_unix = None if record is None else record.last_poll_unix
            found[key] = math.inf if polled_unix is None else polled_unix + interval_seconds.get(key.account, math.inf)
        return found

    def gone(self, keys: Iterable[NumberKey]) -> None:
        """Numbers are polled no more: the others hear it from who holds the account."""
        self.shared.gone([key for key in keys if self.polls(key.account)])

    # What the cluster asks

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        """Put these rights in force.  When this returns, no request of another account can leave."""
        got: list[str] = []
        lost: list[str] = []
        for name, poller in self._accounts:
            right, rate = NEVER if is_spare else rights.get(name, NEVER), None
            if is_spare:
                rate = self._spare_qps(name)
                right = ALWAYS if rate else NEVER
            with self._lock:
                before = self._rights.get(name)
                if before == (None if right is NEVER else (right, rate)):
                    continue  # as it is: an account that others hold is not woken at each look
                if right is NEVER:
                    self._rights.pop(name, None)
                else:
                    self._rights[name] = right, rate
            (got if before is None and right is not NEVER else lost if before and right is NEVER else []).append(name)
            poller.allow(right, None if before is not None else self.shared.told(poller.status()), rate or None)
        with self._lock:
            self._forget()
        self._say("accounts are polled by this replica from now on", got, is_spare=is_spare)
        self._say("accounts are polled by this replica no more", lost, is_spare=is_spare)

    def _forget(self) -> None:
        """Forget accounts that left the configuration: one that comes back has a new poller.  The lock is held."""
        for name in self._rights.keys() - self._rates.keys():
            del self._rights[name]

    @staticmethod
    def _say(what: str, accounts: list[str], *, is_spare: bool) -> None:
        """Log which accounts this replica got or lost."""
        if accounts:
            shown = ", ".join(accounts[:MAX_NAMED]) + (", ..." if len(accounts) > MAX_NAMED else "")
            why = {"reason": "the store is away"} if is_spare else {}
            logger.info("%s", what, extra=fields(count=len(accounts), accounts=shown, **why))

    def pace(self, account: str) -> Pace:
        """What to pass on of an account; of one that left the configuration, that its last request leaves now."""
        found = self._accounts.in_use.get(account)
        return Pace(slot_age_seconds=0.0) if found is None else found.poller.pace()

    def held_statuses(self) -> Mapping[str, tuple[AccountStatus, int]]:
        """The status of each account that this replica polls with its right, and how many listings are outstanding."""
        with self._lock:
            held = {name for name, (right, _) in self._rights.items() if right is not ALWAYS}
        return {
            name: (replace(poller.status(), discovery=self._fleets.of(name).status()), len(poller.unlisted()))
            for name, poller in self._accounts
            if name in held
        }

    def _spare_qps(self, name: str) -> int:
        """The rate while the store is away; 0 if the account is not polled then."""
        with self._lock:
            rates = self._rates.get(name)
        return 0 if rates is None or self.cluster.stops_without_store else spare_qps(*rates, self.cluster.replicas)

    def _connected(self) -> Redis:
        """A client of the store, with the password as it is now."""
        secret = self.cluster.password
        password = None if secret is None else secret.value
        if secret is not None and secret.file is not None:
            try:
                password = password_in(secret.file.read_bytes())
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                raise StoreError(f"the password file cannot be used: {why}") from None
        client: Redis = connecting.connected(self.cluster, password, self._timeout_seconds)
        return client

    def _step(self) -> float:
        with self._stepping:
            return math.inf if self._left else self._replica.step()
