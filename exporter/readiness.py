"""Whether everything was attempted once, on this replica or on another: what ``/-/ready`` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from exporter.accounts import Accounts
from exporter.config import AccountConfig, Config
from exporter.fleet.fleets import Fleets
from exporter.polling import AccountPoller
from exporter.state.store import State

if TYPE_CHECKING:
    from exporter.sharing import Sharing


class Readiness:
    """Not thread-safe: one question at a time, of one configuration.  `sharing` is None without `cluster`."""

    def __init__(self, accounts: Accounts, fleets: Fleets, state: State, sharing: Sharing | None) -> None:
        self._accounts = accounts
        self._fleets = fleets
        self._state = state
        self._sharing = sharing
        self._ready_with: Config | None = None  # the configuration in which all had been attempted once

    def missing(self, config: Config) -> tuple[str, ...]:
        """The accounts with numbers that were not attempted yet, or spaces that were not listed, in words.

        Empty from the first time on that there are none, until the next reload: numbers that are found later are no
        reason to take the exporter out of service.
        """
        if self._ready_with is config:
            return ()
        unpolled = Counter(
            record.number.account
            for record in (self._state.snapshot().numbers if self._sharing is not None else ())
            if record.last_poll_success is None
        )
        found = tuple(
            f"account {account.name}{self._holder_of(account)}: {missing}"
            for account in config.accounts
            for missing in self._of(account, self._accounts[account.name].poller, unpolled[account.name])
        )
        if not found:
            self._ready_with = config
        return found

    def _holder_of(self, account: AccountConfig) -> str:
        """Which other replica polls the account, in words; empty if this one does."""
        if self._sharing is None or self._sharing.polls(account.name):
            return ""
        holder = self._sharing.seen(self._accounts[account.name].poller.status()).holder
        return f", polled by {holder}" if holder else ", held by no replica now"

    def _of(self, account: AccountConfig, poller: AccountPoller, unpolled: int) -> Iterator[str]:
        """What of an account was not attempted yet.  The listings first: after them there may be more numbers.

        `unpolled` is how many of its numbers were polled by no replica, as far as is known here.
        """
        if self._sharing is not None and not self._sharing.polls(account.name):
            yield from _elsewhere(account, poller, self._sharing, unpolled)
            return
        unlisted = poller.unlisted()
        spaces = len(unlisted) - unlisted.count(None)
        if None in unlisted:
            yield "its spaces are not listed yet"
        if spaces:
            yield f"spaces not listed yet: {spaces}"
        if self._fleets.of(account.name).is_pending():
            yield "found numbers are not polled yet"
        if missing := poller.unattempted():
            yield f"numbers not polled yet: {missing}"


def _elsewhere(account: AccountConfig, poller: AccountPoller, sharing: Sharing, unpolled: int) -> Iterator[str]:
    """The same of an account that another replica holds, as far as that is known here."""
    if sharing.seen(poller.status()).refused is not None:
        return
    if account.discover is not None and (unlisted := sharing.unlisted(account.name)):
        yield f"listings not ended yet: {unlisted}"
    if unpolled:
        yield f"numbers not polled yet: {unpolled}"
