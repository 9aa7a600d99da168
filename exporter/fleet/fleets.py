"""The numbers of all accounts.  Found numbers are put in force on a thread, together: at most about once a second."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from exporter.config import AccountConfig, Config
from exporter.fleet.account import AccountFleet, ListedState
from exporter.fleet.log import FleetLog
from exporter.model import Clock, Listing, NumberKey, PhoneNumber, Wait
from exporter.polling.loop import Loop
from exporter.state.found import Absence, StoredFound

APPLY_SECONDS = 1.0
"""The least time between two changes of the numbers in force."""

APPLY_SHARE = 0.05
"""Putting numbers in force takes at most this share of the time: with very many it happens less often."""

SETTLE_SECONDS = 5.0
"""Changes have settled when none has come for this long."""


class Fleets:
    """The numbers of each account; thread-safe, but for one configuration at a time.

    `apply` puts in force the numbers of the accounts that it is given: it calls `take`.  `settled` is called when the
    changes have settled.
    """

    def __init__(
        self,
        state: ListedState,
        clock: Clock,
        apply: Callable[[Sequence[str]], None],
        settled: Callable[[], None],
        wait: Wait = threading.Condition.wait,
    ) -> None:
        self._state = state
        self._clock = clock
        self._apply = apply
        self._settled = settled
        self._lock = threading.Lock()
        self._loop = Loop("fleets", self.step, self._lock, clock, wait)
        self.gone: Callable[[Collection[NumberKey]], None] = lambda _: None
        """Called with the numbers that were taken out of force."""
        self._config: Config | None = None
        self._accounts: dict[str, AccountFleet] = {}
        self._logging = threading.Lock()
        self._log = FleetLog()
        self._numbers: dict[str, tuple[PhoneNumber, ...]] = {}  # in force
        self._apply_at = clock.monotonic()
        self._settle_at: float | None = None  # None: the changes have settled
        self._stopped = False

    def of(self, account: str) -> AccountFleet:
        """The fleet of an account, made if it is new."""
        return self._accounts.get(account) or self._accounts.setdefault(
            account, AccountFleet(account, self._state, self._clock, self._changed)
        )

    def configure(self, config: Config, accounts: Iterable[AccountConfig]) -> None:
        """Take over a configuration in which these accounts are new or have changed; `take` them then."""
        self._config = config
        for account in accounts:
            self.of(account.name).configure(account, config.labeller)
        names = {account.name for account in config.accounts}
        for name in [name for name in self._accounts if name not in names]:
            del self._accounts[name]
            self._numbers.pop(name, None)
            with self._logging:
                self._log.forget(name)

    def take(self, names: Iterable[str]) -> Mapping[str, tuple[PhoneNumber, ...]]:
        """The numbers of each account, with what has changed in the accounts `names`."""
        for name in names:
            self._numbers[name] = self.of(name).take()
            if gone := self.of(name).gone:
                self.gone(gone)
        return self._numbers

    def tell(self, names: Iterable[str]) -> None:
        """The numbers of these accounts are in force: tell the state what listings say of the new ones."""
        for name in names:
            self.of(name).tell()

    def start(self) -> None:
        """Start the thread, if an account has `discover` and it does not run yet.  Raises OSError as `Loop.start`."""
        has_work = self._config is not None and any(account.discover for account in self._config.accounts)
        if has_work and not self._stopped and not self._loop.is_alive:
            self._loop.start()

    def stop(self) -> None:
        """End the thread, and log what it has not logged yet."""
        with self._lock:
            self._stopped = True
            self._loop.stop()
        self._log_news(is_settled=True)

    def seconds_without_heartbeat(self) -> float:
        """How long the thread has had no heartbeat; 0 if it does not run."""
        with self._lock:
            return self._loop.seconds_without_heartbeat() if self._loop.is_alive else 0.0

    def seconds_failing(self) -> float:
        """For how long every attempt to put found numbers in force has failed."""
        return self._loop.seconds_failing()

    def is_pending(self) -> bool:
        """Whether found numbers are not in force yet."""
        return any(fleet.is_pending() for fleet in list(self._accounts.values()))

    def absences(self) -> Mapping[NumberKey, Absence]:
        """All found numbers, as they are to be stored."""
        found: dict[NumberKey, Absence] = {}
        for fleet in list(self._accounts.values()):
            found |= fleet.absences()
        return found

    def restore(self, stored: Mapping[NumberKey, StoredFound]) -> None:
        """Put in force the numbers that an earlier process had found.  The state gets their listings from the store."""
        config = self._config
        if config is None:
            return
        by_account: dict[str, dict[NumberKey, StoredFound]] = {}
        for key, known in stored.items():
            by_account.setdefault(key.account, {})[key] = known
        names = [account.name for account in config.accounts if account.discover and account.name in by_account]
        for name in names:
            self.of(name).restore(by_account[name], config.labeller)
        if names:
            self._apply(names)

    def absence(self, key: NumberKey) -> Absence | None:
        """For how long listings have lacked a number; None if none found it."""
        fleet = self._accounts.get(key.account)
        return None if fleet is None else fleet.absence(key)

    def candidate(self, key: NumberKey) -> PhoneNumber | None:
        """A number that another replica found, as it would be polled here; None if it may not be."""
        fleet, config = self._accounts.get(key.account), self._config
        if fleet is None or config is None or not fleet.may_be_found(key):
            return None
        return PhoneNumber(*key, config.labeller(key.phone_number), found=True)

    def heard(self, number: PhoneNumber, listing: Listing, absence: Absence) -> None:
        """Another replica says this of a number that it found."""
        self.of(number.account).heard(number, listing, absence)

    def forgotten(self, key: NumberKey) -> None:
        """Another replica polls the number no more."""
        fleet = self._accounts.get(key.account)
        if fleet is not None:
            fleet.forgotten_elsewhere(key)

    def step(self) -> float:
        """Put in force what has changed, if it is time; returns the instant at which to be called again."""
        now = self._clock.monotonic()
        names = [name for name, fleet in list(self._accounts.items()) if fleet.is_pending()]
        if names and now < self._apply_at:
            return self._apply_at
        if names:
            try:
                self._apply(names)
            except BaseException:
                for name in names:
                    self.of(name).put_back()
                raise
            self.tell(names)
            after = self._clock.monotonic()
            self._apply_at = after + max(APPLY_SECONDS, (after - now) / APPLY_SHARE)
        with self._lock:
            is_settled = self._settle_at is not None and self._settle_at <= now
            if is_settled:
                self._settle_at = None
            next_at = now + SETTLE_SECONDS if self._settle_at is None else self._settle_at
        self._log_news(is_settled=is_settled)
        if is_settled:
            self._settled()
        return next_at

    def _changed(self) -> None:
        with self._lock:
            self._settle_at = self._clock.monotonic() + SETTLE_SECONDS
            self._loop.wake(self._apply_at)

    def _log_news(self, *, is_settled: bool) -> None:
        config, now = self._config, self._clock.monotonic()
        with self._logging:
            for account in () if config is None else config.accounts:
                fleet = self._accounts.get(account.name)
                if fleet is None:
                    continue
                news = fleet.news()
                self._log.changes(account.name, news, now)
                if is_settled and account.discover is not None:
                    self._log.settled(account.name, news, account.discover.max_numbers, now)
            if is_settled:
                self._log.places(itertools.chain.from_iterable(list(self._numbers.values())))
