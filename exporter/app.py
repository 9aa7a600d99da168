"""The composition root: builds the parts from a configuration, starts, reloads and stops them.

It knows every part and does no part's work.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

from exporter.accounts import Account, Accounts
from exporter.cams.error_codes import DOCUMENTED_CODES, OPTIONAL_CODES, kind_of
from exporter.cams.operations import (
    GetPhoneNumberVerificationStatus,
    GetWhatsappHealthStatus,
    ListInstance,
    QueryChatappPhoneNumbers,
)
from exporter.config import AccountConfig, ClusterConfig, Config, FollowedFiles, Times, config_number
from exporter.config.crowding import FoundNumbers
from exporter.config.loader import FULL
from exporter.config.number_files.follow import log_files_that_left
from exporter.config.numbers import redact
from exporter.config.settings import health_valid_seconds
from exporter.errors import ConfigError, Kind
from exporter.fleet.fleets import Fleets
from exporter.logs import fields
from exporter.metrics.catalogue import Refusal
from exporter.metrics.collector import CamsCollector, ReloadStatus
from exporter.metrics.counters import Counters
from exporter.metrics.exposition import Exposition
from exporter.model import ALWAYS, NEVER, AccountStatus, Clock, ClusterStatus, NumberKey
from exporter.polling import DEAD_SECONDS
from exporter.polling.budget import MAX_GUARD_SECONDS
from exporter.polling.errands import ErrandSettings
from exporter.readiness import Readiness
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import Details, Snapshot, State

if TYPE_CHECKING:
    from exporter.sharing import Sharing
    from exporter.state.storage import Storage

logger = logging.getLogger(__name__)

FREEZE_NUMBERS = 1_000
"""So many found numbers are worth the 100 ms of `_freeze_gc`."""


class App:
    """The running exporter without its web server.

    `repeat=False` polls each number once (`--once`).  `about_exporter` adds the metrics of the exporter itself:
    `cams_exporter_*` and, with `about_process`, `process_*` and `python_info`.  `storage_path` is the folder that keeps
    answers over a restart.
    Raises ConfigError or OSError.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        version: str,
        revision: str,
        repeat: bool = True,
        about_exporter: bool = True,
        about_process: bool = True,
        storage_path: Path | None = None,
    ) -> None:
        # Prometheus would store a second series for every counter.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
        self._clock = clock
        self._lock = threading.Lock()  # held while a configuration is applied: no scrape sees half of it
        self._reloading = threading.Lock()
        self._applying = threading.Lock()  # held while numbers are put in force; a reload reads files without it
        self._state = State(clock)
        self._fleets = Fleets(self._state, clock, self._put_found_in_force, self._found_settled)
        self._counters = Counters(DOCUMENTED_CODES, OPTIONAL_CODES)
        self.priority = ScrapePriority(clock)
        right = ALWAYS if config.cluster is None else NEVER
        self._accounts = Accounts(self._state, self._counters, clock, self.priority, repeat=repeat, right=right)
        self.sharing = None if config.cluster is None else self._shared(config.cluster)
        self._times: Mapping[str, Times] = {}
        self._found_numbers = FoundNumbers()
        self._frozen = 0  # of the found numbers, how many there were when they were last excluded
        self._readiness = Readiness(self._accounts, self._fleets, self._state, self.sharing)
        self._started = False
        self._stopped = False
        self.reload_status = ReloadStatus(clock.unix())
        self._config = replace(config, accounts=())
        self._config_hash = 0
        self._number_files = FollowedFiles(config)
        self._apply(config)
        self._storage: Storage | None = None
        if storage_path is not None:
            self._storage = self._opened(storage_path)
        collector = CamsCollector(
            view=self.view,
            counters=self._counters,
            reload_status=self.reload_status,
            version=version,
            revision=revision,
            storage_up=self._storage.up if self._storage is not None else None,
            number_files_up=self._number_files_up,
            config_hash=lambda: self._config_hash,
            cluster=self.cluster,
            about_exporter=about_exporter,
        )
        process = CollectorRegistry(auto_describe=True)
        if about_exporter and about_process:
            ProcessCollector(registry=process)
            PlatformCollector(registry=process)
        self.exposition = Exposition(collector, process)

    def start(self) -> tuple[str, ...]:
        """Start polling; returns the accounts that cannot be polled because the machine has no thread left."""
        with self._reloading:
            self._started = True
            self._log_crowding()
            _freeze_gc()
            return self._start_pollers()

    def stop(self) -> None:
        """Stop polling; requests under way are abandoned, and a reload under way starts nothing more."""
        self._stopped = True
        if self.sharing is not None:
            self.sharing.stop()
        self._fleets.stop()
        self._accounts.stop()
        if self._storage is not None:
            self._storage.stop()

    def reload(self, load: Callable[[], Config]) -> None:
        """Put the configuration that `load` returns in force; if that fails, keep the old one and raise.

        Two reloads never run at the same time.
        """
        with self._reloading:
            try:
                config = load()
                self._expect_the_cluster(config)
                self._apply(config)
            except Exception:
                self.reload_status.successful = False
                raise
            self.reload_status.successful = True
            self.reload_status.success_unix = self._clock.unix()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def config_yaml(self) -> bytes:
        """The configuration in force as YAML, without secrets."""
        return self._config.shown()

    def look_at_number_files(self) -> None:
        """Put in force what the number files hold now.  Does nothing to accounts whose numbers stay the same."""
        with self._reloading:
            config = self._number_files.look(self._config)
            if config is not self._config:
                self._put_in_force(config, self._accounts.in_use)

    def reload_hangs(self) -> None:
        """Count a reload that takes too long as failed until it ends."""
        self.reload_status.successful = False

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        """All that a scrape shows of numbers and accounts, from one configuration."""
        with self._lock:
            accounts = [
                self._seen(replace(poller.status(), discovery=self._fleets.of(name).status()))
                for name, poller in self._accounts
            ]
            self._state.set_health(self._health_valid_seconds(accounts), _health_refused(accounts))
            return self._state.snapshot(), accounts

    def details(self, key: NumberKey) -> Details | None:
        """One number with its last polls; None if it is not configured."""
        return self._state.details(key)

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        """When numbers are polled next, as Unix seconds; None while one is being polled, infinity for never."""
        sharing = self.sharing
        if sharing is None:
            return self._accounts.next_polls(keys)
        elsewhere = [key for key in keys if not sharing.polls(key.account)]
        intervals = {account.name: account.scrape_interval_seconds for account in self._config.accounts}
        found = sharing.next_polls(elsewhere, intervals)
        return {**found, **self._accounts.next_polls([key for key in keys if key not in found])}

    def cluster(self) -> ClusterStatus | None:
        """How the cluster of replicas looks from here; None without one."""
        return None if self.sharing is None else self.sharing.status()

    def unhealthy(self) -> tuple[str, ...]:
        """The loops without a heartbeat, in words; empty when all have one."""
        silent = self._fleets.seconds_without_heartbeat()
        still = 0.0 if self.sharing is None else self.sharing.seconds_without_heartbeat()
        cluster = [f"the thread of the cluster has not moved for {still:.0f} s"] if still > DEAD_SECONDS else []
        fleets = [f"the thread for found numbers has not moved for {silent:.0f} s"] if silent > DEAD_SECONDS else []
        return (*self._accounts.unhealthy(), *fleets, *cluster)

    def not_ready(self) -> tuple[str, ...]:
        """What was not attempted once yet, in words; empty for good once there is nothing."""
        with self._lock:
            return self._readiness.missing(self._config)

    def refused_connection(self, reason: Refusal) -> None:
        """Count a connection that the web server refused."""
        self._counters.refused_connection(reason)

    def finished(self) -> bool:
        """Whether every space was listed and every number polled (`repeat=False`)."""
        with self._applying:  # no found number comes in force between the two questions
            return all(poller.finished() for _, poller in self._accounts) and not self._fleets.is_pending()

    def unlisted(self) -> int:
        """How many listings have not succeeded at their last attempt, or were not attempted."""
        return sum(self._fleets.of(name).unlisted() for name, _ in self._accounts)

    def stuck(self, seconds: float) -> tuple[str, ...]:
        """The accounts whose loop has only failed for that long, or whose found numbers cannot be put in force."""
        pending = self._fleets.seconds_failing() >= seconds
        return tuple(
            name
            for name, poller in self._accounts
            if poller.seconds_failing() >= seconds or (pending and self._fleets.of(name).is_pending())
        )

    def _opened(self, storage_path: Path) -> Storage:
        from exporter.state.storage import Learnt, Storage  # noqa: PLC0415 - 1 MiB that most do not need

        learnt = Learnt(
            guards=self._accounts.guards,
            learn=self._accounts.learn,
            max_guard_seconds=MAX_GUARD_SECONDS,
            absences=self._fleets.absences,
            find=self._fleets.restore,
            hide=self._hide,
        )
        storage = Storage(storage_path, self._state, self._clock, learnt=learnt)
        storage.open()
        return storage

    def _seen(self, own: AccountStatus) -> AccountStatus:
        """The status of an account as it is shown: by its own poller, or by the replica that holds it."""
        return own if self.sharing is None else self.sharing.seen(own)

    def _shared(self, cluster: ClusterConfig) -> Sharing:
        from exporter.sharing import Sharing  # noqa: PLC0415 - without the section nothing of it is imported

        return Sharing(cluster, self._accounts, self._state, self._fleets, self._clock, self.priority, self._hide)

    def _expect_the_cluster(self, config: Config) -> None:
        """Refuse another section `cluster`: the leases of now would not count for it."""
        before = None if self.sharing is None else self.sharing.cluster
        if config.cluster != before:
            what = "cluster: changed; restart this replica to use it: the others poll meanwhile"
            raise ConfigError([f"{config.path}: {what}"])

    def _health_valid_seconds(self, accounts: Sequence[AccountStatus]) -> Mapping[str, float]:
        """For how long a verdict counts, by what really passes between two checks."""
        return {
            status.account: health_valid_seconds(self._times[status.account].stale_after_seconds, status.health_seconds)
            for status in accounts
            if status.health_seconds is not None
        }

    def _hide(self, text: str) -> str:
        """`text` without phone numbers, unless these are shown in full."""
        return text if self._config.phone_number_label == FULL else redact(text)

    def _number_files_up(self) -> Mapping[str, bool]:
        return self._number_files.up()

    def _apply(self, config: Config) -> None:
        """Build the new parts, which may fail; then put them in force, which may not."""
        accounts = self._accounts.built(config)
        log_files_that_left(self._config, config)
        self._put_in_force(config, accounts)
        self._number_files = FollowedFiles(config)

    def _put_in_force(self, config: Config, accounts: dict[str, Account]) -> None:
        before = set(map(id, self._config.accounts))
        changed = {account.name for account in config.accounts if id(account) not in before}
        config = replace(
            config, accounts=tuple(self._with_kept(a) if a.name in changed else a for a in config.accounts)
        )
        self._config_hash = config_number(config)
        with self._applying:
            self._fleets.configure(config, [account for account in config.accounts if account.name in changed])
            with self._lock:
                gone = {name for name, _ in self._accounts} - accounts.keys()
                self._config, end_replaced = config, self._accounts.use(accounts)
                for account in config.accounts:
                    self._counters.register(account.name, _operations(account))
                for name in gone:
                    self._counters.forget(name)
                self._configure(changed)
            self._fleets.tell(changed)
        end_replaced()
        if self.sharing is not None:
            self.sharing.configure(config, self._config_hash)
        if self._started and not self._stopped:
            self._log_crowding()
            self._start_pollers()
            _freeze_gc()

    def _put_found_in_force(self, names: Collection[str]) -> None:
        """Put in force the numbers that these accounts have found."""
        with self._applying, self._lock:
            self._configure({name for name, _ in self._accounts if name in names})

    def _found_settled(self) -> None:
        """Found numbers are in force, and no more come for now."""
        self._log_crowding()
        count = sum(of.numbers for of in self._times.values())
        if not self._stopped and abs(count - self._frozen) >= FREEZE_NUMBERS:
            self._frozen = count
            _freeze_gc()

    def _log_crowding(self) -> None:
        """Log what the found numbers crowd out."""
        with self._applying:
            for account in self._config.accounts:
                if account.discover is not None:
                    self._found_numbers.count(account, self._times[account.name])

    def _configure(self, changed: Collection[str]) -> None:
        """Take over the numbers of the accounts that have changed; the locks are held."""
        config, numbers = self._config, self._fleets.take(changed)
        hide = None if config.phone_number_label == FULL else redact
        self._times = times = {
            account.name: account.times(len(numbers[account.name]), len(self._fleets.of(account.name).spaces()))
            for account in config.accounts
        }
        self._state.configure(
            (number for account in config.accounts for number in numbers[account.name]),
            {name: of.stale_after_seconds for name, of in times.items()},
            listing_seconds={name: of.listing_valid_seconds for name, of in times.items() if of.listing_valid_seconds},
            health_seconds={name: of.health_valid_seconds for name, of in times.items() if of.health_valid_seconds},
        )
        for account in config.accounts:
            if account.name in changed:
                running = self._accounts[account.name]
                running.poller.configure(
                    numbers[account.name],
                    interval_seconds=account.scrape_interval_seconds,
                    qps=account.qps,
                    quota=account.quota,
                    timeout_seconds=account.api.timeout_seconds,
                    accounts=len(config.accounts),
                    client=running.client,
                    errands=ErrandSettings(account.discover, self._fleets.of(account.name), account.health, hide),
                )

    def _with_kept(self, account: AccountConfig) -> AccountConfig:
        """`account` with the numbers that are in memory already, not with a second copy of each."""
        return replace(account, numbers=self._state.kept(account.numbers))

    def _start_pollers(self) -> tuple[str, ...]:
        """Start the pollers that do not run yet; log and return those that cannot start (see `unhealthy`)."""
        if self._storage is not None:
            self._storage.start()
        failed = []
        try:
            self._fleets.start()
        except OSError as error:
            logger.error("found numbers cannot be put in force", extra=fields(error=error))  # noqa: TRY400 - the text is enough
            failed += [account.name for account in self._config.accounts if account.discover]
        failed += self._accounts.start()
        if self.sharing is not None:
            try:
                self.sharing.start()
            except OSError as error:
                logger.error("the accounts cannot be shared", extra=fields(error=error))  # noqa: TRY400 - the text is enough
                failed += [account.name for account in self._config.accounts]
        return tuple(failed)


def _operations(account: AccountConfig) -> list[str]:
    """The operations of the API that an account uses."""
    discover = account.discover
    found = [GetPhoneNumberVerificationStatus.name]
    found += [ListInstance.name] if discover is not None and discover.spaces is None else []
    found += [QueryChatappPhoneNumbers.name] if discover is not None else []
    return found + ([GetWhatsappHealthStatus.name] if account.health is not None else [])


def _health_refused(accounts: Sequence[AccountStatus]) -> set[str]:
    """The accounts that may not ask about health, as far as is known."""
    return {
        status.account
        for status in accounts
        for of in status.operations
        if of.operation == GetWhatsappHealthStatus.name and of.refused is not None
        if kind_of(of.refused.code, None) in {Kind.ACCOUNT, Kind.PERMISSION}
    }


def _freeze_gc() -> None:
    """Exclude all objects that exist now from garbage collection.

    They live as long as the configuration, and a full run over 10,000 numbers stops every thread for 100 ms.  Objects
    that were excluded before are checked once more, since some may be garbage now.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
