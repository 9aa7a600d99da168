"""A number's values as the status page shows, filters, sorts and counts them.  Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from exporter.model import KNOWN_STATUSES, AccountStatus, ListedNumber
from exporter.state.store import NumberState, Snapshot
from exporter.web.ui import judgement
from exporter.web.ui.filters import CHOICES
from exporter.web.ui.judgement import Facts, Level

MAX_VALUES = 50
"""Maximum of values in the list of a filter, so that a server with endless new values does not make the page grow."""

NOT_KNOWN = "not known"
"""The value where an account asks for it and has no answer, or only one that is too old."""

FOUND, TYPED = "found", "typed"
UNLIMITED = "unlimited"
_NOTHING = ListedNumber("")


class Uses(NamedTuple):
    """The accounts with `discover`, and those with `health`."""

    discover: frozenset[str] = frozenset()
    health: frozenset[str] = frozenset()

    @classmethod
    def of(cls, accounts: Iterable[AccountStatus]) -> Uses:
        """What `accounts` use."""
        every = tuple(accounts)
        return cls(
            frozenset(account.account for account in every if account.discovery is not None),
            frozenset(account.account for account in every if account.health_seconds is not None),
        )


class Entry(NamedTuple):
    """A number and its values.  A text is empty if the number's account does not ask for it.

    `name` is the configured name, or else the verified one.
    """

    record: NumberState
    facts: Facts
    name: str
    account: str
    status: str
    connection: str = ""
    quality: str = ""
    limit: str = ""
    verdict: str = ""
    source: str = ""
    listed: str = ""
    customers_a_day: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last poll failed, perhaps for a reason of the account."""
        return self.record.last_poll_success is False

    @property
    def urgency(self) -> int:
        """The place in the default order, lowest first."""
        return judgement.urgency(self.facts)

    def look(self, about: str) -> str:
        """The CSS class of one of its facts."""
        return judgement.look(about, self.facts)


def entries(snapshot: Snapshot, uses: Uses) -> list[Entry]:
    """Every number, in the order of the snapshot."""
    return [entry_of(record, snapshot, uses) for record in snapshot.numbers]


def is_resolved(record: NumberState) -> bool:
    """Whether a poll has succeeded since the number's own last error; True if it never had one."""
    own = record.own_error
    if own is None:
        return True
    if own == record.last_error:
        return record.last_poll_success is True
    return record.success_unix is not None and record.success_unix > own.unix


def limit_of(listed: ListedNumber) -> str:
    """The messaging limit: digits of customers a day, `UNLIMITED`, or a tier without a number; empty if not known."""
    if listed.messaging_limit is None:
        return listed.messaging_limit_tier
    return UNLIMITED if math.isinf(listed.messaging_limit) else f"{listed.messaging_limit:.0f}"


def entry_of(record: NumberState, snapshot: Snapshot, uses: Uses) -> Entry:
    """One number; `uses` tells of its account."""
    number = record.number
    account = number.account
    listed = snapshot.entry(record) or _NOTHING
    facts = Facts(
        snapshot.status(record),
        listed.connection_status,
        listed.quality_rating,
        listed.name_status,
        snapshot.verdict(record),
        snapshot.listed(record),
        record.last_poll_success is False and not is_resolved(record),
    )
    verdict = facts.verdict or NOT_KNOWN if account in uses.health else ""
    if account not in uses.discover:
        return Entry(record, facts, number.name, account, facts.status, verdict=verdict)
    return Entry(
        record,
        facts,
        number.name or listed.verified_name,
        account,
        facts.status,
        facts.connection or NOT_KNOWN,
        facts.quality or NOT_KNOWN,
        limit_of(listed) or NOT_KNOWN,
        verdict,
        FOUND if number.found else TYPED,
        NOT_KNOWN if facts.listed is None else "yes" if facts.listed else "no",
        listed.messaging_limit,
    )


class Counts(NamedTuple):
    """Numbers by value: for each filter, and by account and status.  `levels` counts them by their worst trouble."""

    by: Mapping[str, Counter[str]]
    statuses: Mapping[str, Counter[str]]
    levels: Counter[Level]
    failing: int

    def of(self, account: str) -> Counter[str]:
        """An account's numbers by status."""
        return self.statuses.get(account, Counter())

    def values(self, choice: str) -> Sequence[str]:
        """The values of a filter to show, the most urgent first."""
        found, always = self.by[choice], KNOWN_STATUSES if choice == "status" else ()
        kept = sorted(found.keys() - set(always), key=lambda value: (-found[value], value))[:MAX_VALUES]
        return sorted((*always, *kept), key=lambda value: value_order(choice, value))


def value_order(choice: str, value: str) -> tuple[float, str]:
    """The place of a value among those of its filter, the most urgent first."""
    if choice == "limit":
        return (float(value) if value.isdecimal() else math.inf, value)
    if choice in {"status", "connection", "quality", "verdict"}:
        return (math.inf if value == NOT_KNOWN else judgement.urgency(judgement.alone(choice, value)), value)
    return (0.0, value)


def counts(every: Sequence[Entry]) -> Counts:
    """Count the numbers."""
    by = {choice: Counter(map(attrgetter(choice), every)) for choice in CHOICES}
    for counter in by.values():
        del counter[""]
    statuses: dict[str, Counter[str]] = {}
    for (account, status), count in Counter(map(attrgetter("account", "status"), every)).items():
        statuses.setdefault(account, Counter())[status] = count
    levels: Counter[Level] = Counter()
    for facts, count in Counter(map(attrgetter("facts"), every)).items():  # few differ
        levels[judgement.level(facts)] += count
    return Counts(by, statuses, levels, sum(map(attrgetter("failing"), every)))
