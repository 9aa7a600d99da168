"""Which errand of an account goes next: requests of discovery and of health checks.

Pure: time is an argument, nothing waits here.  Of the operations that have a request to send, the one goes that was
asked longest ago.  So listings and health checks alternate while both want all they can get.  Before that, first
listings go before health checks: the numbers of a space that was never listed are not even polled.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.config.times import HEALTH_QPS, LISTING_QPS, Regular, share_while_polls_are_due, shares
from exporter.errors import ApiError
from exporter.model import NumberKey, OperationStatus, PhoneNumber, Refused
from exporter.polling.client import Fetcher
from exporter.polling.errands.discovery import Fleet, NumbersOperation, SpacesOperation, ToList
from exporter.polling.errands.errand import Errand
from exporter.polling.errands.health import HealthOperation
from exporter.polling.errands.operation import Ended, OptionalOperation, Reply
from exporter.polling.recorder import Recorder


@dataclass(frozen=True, slots=True)
class ErrandSettings:
    """What an account asks besides its polls.

    `fleet` is needed for `discover`.  `hide` takes phone numbers that must not be shown out of a text.
    """

    discover: DiscoverConfig | None = None
    fleet: Fleet | None = None
    health: HealthConfig | None = None
    hide: Callable[[str], str] | None = field(default=None, repr=False)


class Errands:
    """The errands of one account.  Not thread-safe: its poller holds the lock."""

    def __init__(self, account: str, recorder: Recorder, rng: random.Random, *, repeat: bool) -> None:
        self._account = account
        self._recorder = recorder
        self._rng = rng
        self._repeat = repeat
        self._settings = ErrandSettings()
        self._numbers: Sequence[PhoneNumber] = ()
        self._listed: tuple[str, ...] = ()
        self._poll_interval = math.inf
        self._pace = 1.0
        self._spaces: SpacesOperation | None = None
        self._listings: NumbersOperation | None = None
        self._health: HealthOperation | None = None
        self.in_use: tuple[OptionalOperation[Any, Any], ...] = ()
        self.poll_seconds = math.inf
        """The time that really passes between two polls of a number."""
        self.health_seconds: float | None = None
        """The time that really passes between two health checks of a number; None without health checks."""
        self.polls_first = 1
        """How many polls go between two errands while polls are due."""

    def configure(
        self,
        settings: ErrandSettings,
        numbers: Sequence[PhoneNumber],
        spaces: Sequence[str],
        *,
        poll_interval_seconds: float,
        pace: float,
        now: float,
        now_unix: float,
    ) -> None:
        """Take over a configuration.  `spaces` are those to list, `pace` the account's requests per second."""
        self._settings, self._numbers = settings, numbers
        self._poll_interval, self._pace = poll_interval_seconds, pace
        self._use(settings)
        self.set_spaces(spaces, now=now, now_unix=now_unix)

    def set_spaces(self, spaces: Sequence[str], *, now: float, now_unix: float) -> None:
        """List these spaces from now on, and reckon what everything really takes."""
        self._listed = tuple(spaces)
        discover, health = self._settings.discover, self._settings.health
        to_list = [ToList(self._account, space) for space in dict.fromkeys(spaces)] if self._listings else []
        refresh_seconds = discover.refresh_interval_seconds if discover else 1.0
        polls = Regular(len(self._numbers), self._poll_interval, math.inf)
        listing = Regular(len(to_list) + (self._spaces is not None), refresh_seconds, LISTING_QPS)
        checks = Regular(len(self._numbers), health.interval_seconds, HEALTH_QPS) if health else Regular(0, 1.0, 1.0)
        got = shares(self._pace, polls, listing, checks)
        self.poll_seconds = polls.seconds(got.polls)
        self.health_seconds = checks.seconds(got.health) if self._health else None
        self.polls_first = round(1 / share_while_polls_are_due(self._pace, polls)) - 1
        if self._spaces:
            of_account = [ToList(self._account)]
            self._spaces.configure(of_account, refresh_seconds, refresh_seconds, now=now, now_unix=now_unix)
        if self._listings:
            real_seconds = listing.seconds(got.listing)
            self._listings.configure(to_list, refresh_seconds, real_seconds, now=now, now_unix=now_unix)
        if self._health and self.health_seconds:
            seconds = self.health_seconds
            self._health.configure(self._numbers, checks.interval_seconds, seconds, now=now, now_unix=now_unix)

    def take_over(self, statuses: Sequence[OperationStatus], checked_at: Mapping[NumberKey, float]) -> None:
        """Go on from what another replica found; `checked_at` is when numbers were last checked."""
        known = {status.operation: status for status in statuses}
        for operation in self.in_use:
            if operation.name in known:
                operation.standing.take_over(known[operation.name])
        if self._health:
            for key, at in checked_at.items():
                self._health.schedule.done_elsewhere(key, at)

    def next_at(self, now: float) -> float:
        """When to look for the next errand; infinity for never."""
        return min((operation.next_at(now) for operation in self.in_use), default=math.inf)

    def take(self, now: float, client: Fetcher, credential: int) -> Errand | None:
        """The errand that goes next; None if none may."""
        due = [operation for operation in self.in_use if operation.next_at(now) <= now]
        if not due:
            return None
        operation = min(due, key=lambda each: (each is self._health or not each.schedule.unattempted, each.taken_at))
        is_probe = operation.breaker.is_open
        entry = operation.take(now)
        if entry is None:
            return None
        return Errand(
            account=self._account,
            wanted_at=now,
            limit=operation.limit,
            operation=operation,
            entry=entry,
            client=client,
            credential=credential,
            is_probe=is_probe,
        )

    def may_wait(self, errand: Errand, now: float) -> bool:
        """Whether an errand that waits for its slot may still go."""
        operation = errand.operation
        return errand.entry.scheduled and operation in self.in_use and operation.may_wait(now, is_probe=errand.is_probe)

    def ended(
        self,
        errand: Errand,
        outcome: Reply[Any] | ApiError | None,
        credential: int,
        spaces: Sequence[str] | None,
        *,
        now: float,
        now_unix: float,
    ) -> None:
        """An errand ended; None if it was not sent.  `spaces` are those to list now, if they may be others."""
        operation = errand.operation
        if outcome is None:
            operation.put_back(errand.entry, now, is_probe=errand.is_probe)
            return
        error = outcome if isinstance(outcome, ApiError) else None
        changed = operation.ended(
            errand.entry,
            Ended(
                error,
                asked_at=now if errand.released_at is None else errand.released_at,
                is_current=errand.credential == credential,
                is_probe=errand.is_probe,
                is_part=isinstance(outcome, Reply) and outcome.value is None,
            ),
            now,
        )
        if spaces is not None and tuple(spaces) != self._listed:
            self.set_spaces(spaces, now=now, now_unix=now_unix)
        if changed and operation in self.in_use:
            self._recorder.operation_changed(operation.standing.status)

    def credential_changed(self, now: float) -> None:
        """What was refused may be accepted with another credential."""
        for operation in self.in_use:
            operation.credential_changed(now)

    @property
    def statuses(self) -> tuple[OperationStatus, ...]:
        """How each operation goes."""
        return tuple(operation.standing.status for operation in self.in_use)

    @property
    def refused(self) -> Refused | None:
        """Why the API refuses to list anything at all; None if it does not."""
        listing = [each for each in (self._spaces, self._listings) if each is not None and each.schedule.keys]
        reasons = [operation.refused for operation in listing]
        return None if None in reasons else next(iter(reasons), None)

    def unlisted(self) -> list[str | None]:
        """The spaces whose first listing has not ended; None for the list of spaces itself.

        Without those that are refused, for which waiting does not help.
        """
        if self._listings is None:
            return []
        operations = (self._listings,) if self._spaces is None else (self._spaces, self._listings)
        missing = [key for each in operations if not each.breaker.is_open for key in each.schedule.unattempted_keys()]
        return [key.cust_space_id or None for key in missing]

    def finished(self) -> bool:
        """Whether nothing is left to ask (`repeat=False`)."""
        return all(operation.finished() for operation in self.in_use)

    def _use(self, settings: ErrandSettings) -> None:
        """Make the operations that are new in use, and let go of those that no longer are."""
        account, recorder, rng, repeat = self._account, self._recorder, self._rng, self._repeat
        discover, fleet = settings.discover, settings.fleet
        if discover is None or fleet is None:
            self._spaces = self._listings = None
        else:
            self._listings = self._listings or NumbersOperation(account, fleet, recorder, rng, repeat=repeat)
            self._listings.fleet, self._listings.hide = fleet, settings.hide
            if discover.spaces is not None:
                self._spaces = None
            else:
                self._spaces = self._spaces or SpacesOperation(account, fleet, recorder, rng, repeat=repeat)
                self._spaces.fleet, self._spaces.hide = fleet, settings.hide
        if settings.health is None:
            self._health = None
        else:
            self._health = self._health or HealthOperation(account, recorder, rng, repeat=repeat)
        operations = (self._spaces, self._listings, self._health)
        self.in_use = tuple(operation for operation in operations if operation is not None)
