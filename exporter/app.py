"""The composition root: builds the parts from a configuration, starts, reloads and stops them.

It knows every part and does no part's work.
"""

from __future__ import annotations

import gc
import logging
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics

from exporter import polling
from exporter.cams.client import Client
from exporter.cams.credentials.source import CredentialSource, credential_source
from exporter.cams.endpoint import Endpoint, endpoint_of
from exporter.cams.error_codes import DOCUMENTED_CODES, kind_of
from exporter.cams.operations import (
    GetPhoneNumberVerificationStatus,
    GetWhatsappHealthStatus,
    ListInstance,
    QueryChatappPhoneNumbers,
)
from exporter.config import AccountConfig, ApiConfig, Config, CredentialsConfig, FollowedFiles, Times
from exporter.config.crowding import FoundNumbers
from exporter.config.loader import FULL
from exporter.config.numbers import redact
from exporter.config.settings import STALE_AFTER_POLLS
from exporter.errors import Kind
from exporter.fleet.fleets import Fleets
from exporter.logs import fields
from exporter.metrics.catalogue import Refusal
from exporter.metrics.collector import CamsCollector, ReloadStatus
from exporter.metrics.counters import Counters
from exporter.metrics.exposition import Exposition
from exporter.model import AccountStatus, Clock, NumberKey
from exporter.polling import AccountPoller
from exporter.polling.budget import MAX_GUARD_SECONDS, Budget
from exporter.polling.errands import ErrandSettings
from exporter.polling.in_flight import max_in_flight
from exporter.polling.workers import Workers
from exporter.scrape_priority import ScrapePriority
from exporter.state.storage import Learnt, Storage
from exporter.state.store import Details, Snapshot, State

logger = logging.getLogger(__name__)

GC_THRESHOLD = 10_000
"""New objects between two runs of the garbage collector: more than a scrape makes, so few scrapes wait for a run."""


@dataclass(frozen=True, slots=True)
class _Account:
    """One polled account, and the settings that its client was made from."""

    poller: AccountPoller
    client: Client
    source: CredentialSource
    made_from: tuple[ApiConfig, Endpoint, CredentialsConfig, int]


class App:
    """The running exporter without its web server.

    `repeat=False` polls each number once (`--once`).  `about_exporter` adds the metrics of the exporter itself:
    `cams_exporter_*`, `process_*` and `python_info`.  `storage_path` is the folder that keeps answers over a restart.
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
        storage_path: Path | None = None,
    ) -> None:
        # Prometheus would store a second series for every counter.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
        self._clock = clock
        self._repeat = repeat
        self._lock = threading.Lock()  # held while a configuration is applied: no scrape sees half of it
        self._reloading = threading.Lock()
        self._applying = threading.Lock()  # held while numbers are put in force; a reload reads files without it
        self._state = State(clock)
        self._fleets = Fleets(self._state, clock, self._put_found_in_force, self._found_settled)
        self._counters = Counters(DOCUMENTED_CODES)
        self._workers = Workers()
        self.priority = ScrapePriority(clock)
        self._accounts: dict[str, _Account] = {}
        self._budgets: dict[str, Budget] = {}
        self._times: Mapping[str, Times] = {}
        self._found_numbers = FoundNumbers()
        self._started = False
        self._stopped = False
        self.reload_status = ReloadStatus(clock.unix())
        self._config = replace(config, accounts=())
        self._number_files = FollowedFiles(config)
        self._apply(config)
        self._storage: Storage | None = None
        if storage_path is not None:
            self._storage = Storage(
                storage_path,
                self._state,
                clock,
                learnt=Learnt(
                    guards=self._guards,
                    learn=self._learn,
                    max_guard_seconds=MAX_GUARD_SECONDS,
                    absences=self._fleets.absences,
                    find=self._fleets.restore,
                    hide=self._hide,
                ),
            )
            self._storage.open()
        collector = CamsCollector(
            view=self.view,
            counters=self._counters,
            reload_status=self.reload_status,
            version=version,
            revision=revision,
            storage_up=self._storage.up if self._storage is not None else None,
            number_files_up=self._number_files_up,
            about_exporter=about_exporter,
        )
        process = CollectorRegistry(auto_describe=True)
        if about_exporter:
            ProcessCollector(registry=process)
            PlatformCollector(registry=process)
        self.exposition = Exposition(collector, process)

    def start(self) -> tuple[str, ...]:
        """Start polling; returns the accounts that cannot be polled because the machine has no thread left."""
        with self._reloading:
            self._started = True
            _freeze_gc()
            return self._start_pollers()

    def stop(self) -> None:
        """Stop polling; requests under way are abandoned, and a reload under way starts nothing more."""
        self._stopped = True
        self._fleets.stop()
        self._workers.stop()
        for account in self._accounts.values():
            account.poller.stop()
            account.client.close()
            account.source.close()
        if self._storage is not None:
            self._storage.stop()

    def reload(self, load: Callable[[], Config]) -> None:
        """Put the configuration that `load` returns in force; if that fails, keep the old one and raise.

        Two reloads never run at the same time.
        """
        with self._reloading:
            try:
                self._apply(load())
            except Exception:
                self.reload_status.successful = False
                raise
            self.reload_status.successful = True
            self.reload_status.success_unix = self._clock.unix()

    def look_at_number_files(self) -> None:
        """Put in force what the number files hold now.  Does nothing to accounts whose numbers stay the same."""
        with self._reloading:
            config = self._number_files.look(self._config)
            if config is not self._config:
                self._put_in_force(config, self._accounts)

    def reload_hangs(self) -> None:
        """Count a reload that takes too long as failed until it ends."""
        self.reload_status.successful = False

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        """All that a scrape shows of numbers and accounts, from one configuration."""
        with self._lock:
            accounts = [
                replace(account.poller.status(), discovery=self._fleets.of(name).status())
                for name, account in self._accounts.items()
            ]
            self._state.set_health(self._health_valid_seconds(accounts), _health_refused(accounts))
            return self._state.snapshot(), accounts

    def details(self, key: NumberKey) -> Details | None:
        """One number with its last polls; None if it is not configured."""
        return self._state.details(key)

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        """When numbers are polled next, as Unix seconds; None while one is being polled, infinity for never."""
        by_account: dict[str, list[NumberKey]] = {}
        for key in keys:
            by_account.setdefault(key.account, []).append(key)
        found: dict[NumberKey, float | None] = {}
        for name, account in list(self._accounts.items()):
            of_account = by_account.get(name, [])
            found |= zip(of_account, account.poller.next_polls(of_account), strict=True)
        return found

    def unhealthy(self) -> tuple[str, ...]:
        """The loops without a heartbeat, in words; empty when all have one."""
        return tuple(
            f"the poller of account {name} has not moved for {silent:.0f} s"
            for name, account in list(self._accounts.items())
            if (silent := account.poller.seconds_without_heartbeat()) > polling.DEAD_SECONDS
        ) + tuple(
            f"the thread that puts found numbers in force has not moved for {silent:.0f} s"
            for silent in [self._fleets.seconds_without_heartbeat()]
            if silent > polling.DEAD_SECONDS
        )

    def not_ready(self) -> tuple[str, ...]:
        """The accounts with numbers that were not attempted yet, or spaces that were not listed, in words."""
        return tuple(
            f"account {name}: {missing}"
            for name, account in list(self._accounts.items())
            for missing in self._missing(name, account.poller)
        )

    def refused_connection(self, reason: Refusal) -> None:
        """Count a connection that the web server refused."""
        self._counters.refused_connection(reason)

    def finished(self) -> bool:
        """Whether every space was listed and every number polled (`repeat=False`)."""
        with self._applying:  # no found number comes in force between the two questions
            return (
                all(account.poller.finished() for account in self._accounts.values()) and not self._fleets.is_pending()
            )

    def unlisted(self) -> int:
        """How many listings have not succeeded at their last attempt, or were not attempted."""
        return sum(self._fleets.of(name).unlisted() for name in list(self._accounts))

    def stuck(self, seconds: float) -> tuple[str, ...]:
        """The accounts whose loop has only failed for that long."""
        return tuple(name for name, account in self._accounts.items() if account.poller.seconds_failing() >= seconds)

    def _missing(self, name: str, poller: AccountPoller) -> Iterator[str]:
        """What of an account was not attempted yet.  The listings first: after them there may be more numbers."""
        unlisted = poller.unlisted()
        spaces = len(unlisted) - unlisted.count(None)
        if None in unlisted:
            yield "its spaces are not listed yet"
        if spaces:
            yield f"{spaces} spaces not listed yet"
        if self._fleets.of(name).is_pending():
            yield "found numbers are not polled yet"
        if missing := poller.unattempted():
            yield f"{missing} numbers not attempted yet"

    def _guards(self) -> Mapping[str, float]:
        return {name: account.poller.status().guard_seconds for name, account in list(self._accounts.items())}

    def _learn(self, guards: Mapping[str, float]) -> None:
        for name, account in list(self._accounts.items()):
            account.poller.learn_path(guards.get(name, 0.0))

    def _health_valid_seconds(self, accounts: Sequence[AccountStatus]) -> Mapping[str, float]:
        """For how long a verdict counts, by what really passes between two checks."""
        return {
            status.account: max(
                self._times[status.account].stale_after_seconds, STALE_AFTER_POLLS * status.health_seconds
            )
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
        accounts = {account.name: self._built(account, config) for account in config.accounts}
        _log_files_that_left(self._config, config)
        self._put_in_force(config, accounts)
        self._number_files = FollowedFiles(config)

    def _put_in_force(self, config: Config, accounts: dict[str, _Account]) -> None:
        before = set(map(id, self._config.accounts))
        changed = {account.name for account in config.accounts if id(account) not in before}
        config = replace(
            config, accounts=tuple(self._with_kept(a) if a.name in changed else a for a in config.accounts)
        )
        with self._applying:
            self._fleets.configure(config, [account for account in config.accounts if account.name in changed])
            with self._lock:
                old, self._accounts, self._config = self._accounts, accounts, config
                for account in config.accounts:
                    self._counters.register(account.name, _operations(account))
                for name in old.keys() - accounts.keys():
                    self._counters.forget(name)
                self._configure(changed)
            self._fleets.tell(changed)
        for name, gone in old.items():
            self._retire(gone, accounts.get(name))
        self._forget_budgets()
        if self._started and not self._stopped:
            self._start_pollers()
            _freeze_gc()

    def _put_found_in_force(self, names: Collection[str]) -> None:
        """Put in force the numbers that these accounts have found."""
        with self._applying, self._lock:
            self._configure(self._accounts.keys() & names)

    def _found_settled(self) -> None:
        """Found numbers are in force, and no more come for now."""
        config, times = self._config, self._times
        for account in config.accounts:
            if account.discover is not None and account.name in times:
                self._found_numbers.count(config, account, times[account.name])
        if not self._stopped:
            _freeze_gc()

    def _configure(self, changed: Collection[str]) -> None:
        """Take over the numbers of the accounts that have changed; the locks are held."""
        config, numbers = self._config, self._fleets.take(changed)
        hide = None if config.phone_number_label == FULL else redact
        self._times = times = {
            account.name: config.times(account, len(numbers[account.name]), len(self._fleets.of(account.name).spaces()))
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
                    interval_seconds=config.scrape_interval_seconds,
                    qps=account.qps,
                    quota=account.quota,
                    timeout_seconds=config.api.timeout_seconds,
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
        for name, account in self._accounts.items():
            try:
                account.poller.start()
            except OSError as error:  # no thread left
                logger.error("an account cannot be polled", extra=fields(account=name, error=error))  # noqa: TRY400 - the text is enough
                failed.append(name)
        return tuple(failed)

    def _built(self, account: AccountConfig, config: Config) -> _Account:
        connections = max_in_flight(account.pace_qps, config.api.timeout_seconds, len(config.accounts))
        endpoint = endpoint_of(config.api.endpoint, config.api.ca_file)  # read again: the CA file may have changed
        made_from = (config.api, endpoint, account.credentials, connections)
        running = self._accounts.get(account.name)
        if running is not None and running.made_from == made_from:
            return running
        source = credential_source(account.credentials, self._clock, account.name)
        client = Client(
            account=account.name,
            endpoint=endpoint,
            timeout_seconds=config.api.timeout_seconds,
            credentials=source,
            clock=self._clock,
            max_connections=connections,
            before_reading=self.priority.wait,
        )
        if running is not None:
            return _Account(running.poller, client, source, made_from)
        fresh = AccountPoller(
            account.name,
            budget=self._budgets.setdefault(account.name, Budget(account.qps, account.quota)),
            client=client,
            state=self._state,
            counters=self._counters,
            workers=self._workers,
            clock=self._clock,
            rng=random.Random(),  # noqa: S311 - jitter guards nothing
            repeat=self._repeat,
            priority=self.priority,
        )
        return _Account(fresh, client, source, made_from)

    def _forget_budgets(self) -> None:
        """Forget the budgets of accounts that left, but not while their last request or throttle still counts."""
        now = self._clock.monotonic()
        self._budgets = {
            name: budget for name, budget in self._budgets.items() if name in self._accounts or not budget.is_idle(now)
        }

    @staticmethod
    def _retire(old: _Account, new: _Account | None) -> None:
        """End what a reload replaced: an account that left, or only the client of one that stays."""
        if new is None:
            old.poller.stop()
            old.client.close()
            old.source.close()
            logger.info("account left the configuration", extra=fields(account=old.poller.account))
        elif new.client is not old.client:
            old.client.retire()
            old.source.close()


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


def _log_files_that_left(old: Config, new: Config) -> None:
    """Log the number files that accounts had and no longer have: one may be gone by accident."""
    files = {account.name: {of.file for of in account.lists} for account in new.accounts}
    for account in old.accounts:
        for of in account.lists[1:]:
            if account.name in files and of.file not in files[account.name]:
                logger.warning(
                    "number file left, its list is no longer in force",
                    extra=fields(account=account.name, file=of.file, numbers=len(of.lines)),
                )


def _freeze_gc() -> None:
    """Exclude all objects that exist now from garbage collection.

    They live as long as the configuration, and a full run over 10,000 numbers stops every thread for 100 ms.  Objects
    that were excluded before are checked once more, since some may be garbage now.
    """
    gc.set_threshold(GC_THRESHOLD)
    gc.unfreeze()
    gc.collect()
    gc.freeze()
