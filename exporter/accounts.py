"""The polled accounts: each has a poller, a client and a source of its credential.

A reload keeps the poller of an account that stays, and gives it another client where the API, the credential or the
number of connections changed.  Not thread-safe where it changes: one configuration at a time.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.cams.client import Client
from exporter.cams.credentials.source import CredentialSource, credential_source
from exporter.cams.endpoint import Endpoint, endpoint_of
from exporter.config import AccountConfig, ApiConfig, Config, CredentialsConfig
from exporter.logs import fields
from exporter.metrics.counters import Counters
from exporter.model import Clock, NumberKey, Right
from exporter.polling import DEAD_SECONDS, AccountPoller
from exporter.polling.budget import Budget
from exporter.polling.in_flight import max_in_flight
from exporter.polling.workers import Workers
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """One polled account, and the settings that its client was made from."""

    poller: AccountPoller
    client: Client
    source: CredentialSource
    made_from: tuple[ApiConfig, Endpoint, CredentialsConfig, int]


class Accounts:
    """All polled accounts.  `repeat=False` polls each number once.  New ones have `right` at first."""

    def __init__(
        self,
        state: State,
        counters: Counters,
        clock: Clock,
        priority: ScrapePriority,
        *,
        repeat: bool,
        right: Right,
    ) -> None:
        self._state = state
        self._counters = counters
        self._clock = clock
        self._priority = priority
        self._repeat = repeat
        self._right = right
        self._workers = Workers()
        self._rng = random.Random()  # noqa: S311 - jitter guards nothing
        self._accounts: dict[str, Account] = {}
        self._budgets: dict[str, Budget] = {}

    def __iter__(self) -> Iterator[tuple[str, AccountPoller]]:
        """The name and the poller of each."""
        return ((name, account.poller) for name, account in list(self._accounts.items()))

    def __getitem__(self, name: str) -> Account:
        return self._accounts[name]

    def built(self, config: Config) -> dict[str, Account]:
        """The accounts of a configuration, for `use`.  Raises ConfigError or OSError, and nothing has changed then."""
        return {account.name: self._built(account, config) for account in config.accounts}

    def use(self, accounts: dict[str, Account]) -> Callable[[], None]:
        """Use these accounts from now on.  The result ends those that were replaced."""
        old, self._accounts = self._accounts, accounts

        def end() -> None:
            for name, gone in old.items():
                _retire(gone, accounts.get(name))
            self._forget_budgets()

        return end

    @property
    def in_use(self) -> dict[str, Account]:
        """The accounts, as `use` got them."""
        return self._accounts

    def start(self) -> list[str]:
        """Start the pollers that do not run yet; log and return those that cannot start."""
        failed = []
        for name, poller in self:
            try:
                poller.start()
            except OSError as error:  # no thread left
                logger.error("an account cannot be polled", extra=fields(account=name, error=error))  # noqa: TRY400 - the text is enough
                failed.append(name)
        return failed

    def stop(self) -> None:
        """Stop all pollers; requests under way are abandoned."""
        self._workers.stop()
        for account in self._accounts.values():
            _end(account)

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        """When numbers are polled next, as Unix seconds; None while one is being polled, infinity for never."""
        by_account: dict[str, list[NumberKey]] = {}
        for key in keys:
            by_account.setdefault(key.account, []).append(key)
        found: dict[NumberKey, float | None] = {}
        for name, poller in self:
            of_account = by_account.get(name, [])
            found |= zip(of_account, poller.next_polls(of_account), strict=True)
        return found

    def unhealthy(self) -> Iterator[str]:
        """The pollers without a heartbeat, in words."""
        for name, poller in self:
            silent = poller.seconds_without_heartbeat()
            if silent > DEAD_SECONDS:
                yield f"the poller of account {name} has not moved for {silent:.0f} s"

    def guards(self) -> Mapping[str, float]:
        """The guard of each account, in seconds."""
        return {name: poller.status().guard_seconds for name, poller in self}

    def learn(self, guards: Mapping[str, float]) -> None:
        """Take over guards that an earlier process learnt."""
        for name, poller in self:
            poller.learn_path(guards.get(name, 0.0))

    def _built(self, account: AccountConfig, config: Config) -> Account:
        api = account.api
        connections = max_in_flight(account.pace_qps, api.timeout_seconds, len(config.accounts))
        endpoint = endpoint_of(api.endpoint, api.ca_file, api.proxy)  # read again: the CA file may have changed
        made_from = (api, endpoint, account.credentials, connections)
        running = self._accounts.get(account.name)
        if running is not None and running.made_from == made_from:
            return running
        source = credential_source(account.credentials, self._clock, account.name, api.proxy)
        client = Client(
            account=account.name,
            endpoint=endpoint,
            timeout_seconds=api.timeout_seconds,
            credentials=source,
            clock=self._clock,
            max_connections=connections,
            before_reading=self._priority.wait,
        )
        if running is not None:
            return Account(running.poller, client, source, made_from)
        fresh = AccountPoller(
            account.name,
            budget=self._budgets.setdefault(account.name, Budget(account.qps, account.quota)),
            client=client,
            state=self._state,
            counters=self._counters,
            workers=self._workers,
            clock=self._clock,
            rng=self._rng,
            repeat=self._repeat,
            priority=self._priority,
            right=self._right,
        )
        return Account(fresh, client, source, made_from)

    def _forget_budgets(self) -> None:
        """Forget the budgets of accounts that left, but not while their last request or throttle still counts."""
        now = self._clock.monotonic()
        self._budgets = {
            name: budget for name, budget in self._budgets.items() if name in self._accounts or not budget.is_idle(now)
        }


def _retire(old: Account, new: Account | None) -> None:
    """End what a reload replaced: an account that left, or only the client of one that stays."""
    if new is None:
        _end(old)
        logger.info("account left the configuration", extra=fields(account=old.poller.account))
    elif new.client is not old.client:
        old.client.retire()
        old.source.close()


def _end(account: Account) -> None:
    account.poller.stop()
    account.client.close()
    account.source.close()
