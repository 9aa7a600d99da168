"""What the page of one number says: what is wrong and what to do, its last errors, its listing, its health.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.cams.error_codes import advice
from exporter.cams.operations import GetWhatsappHealthStatus
from exporter.model import AccountStatus, ListedNumber, PhoneNumber
from exporter.state.store import Details, HealthState, LastError, NumberState, Snapshot
from exporter.web.ui.accounts import Fault, refused_operations
from exporter.web.ui.entries import Entry, entry_of, is_resolved, limit_of
from exporter.web.ui.judgement import Trouble, troubles


@dataclass(frozen=True, slots=True)
class Listed:
    """What listings said.  Its space was last listed at `looked_unix`, last with the number at `seen_unix`.

    `entry_too_old` and `too_old` mark what no longer counts.
    """

    entry: ListedNumber | None
    listed: bool
    looked_unix: float
    seen_unix: float
    entry_too_old: bool
    too_old: bool

    @property
    def limit(self) -> str:
        """The messaging limit, as on the status page."""
        return "" if self.entry is None else limit_of(self.entry)


@dataclass(frozen=True, slots=True)
class NumberView:
    """All that the page says about a number, but for the time.

    `own_error` is the last error that concerns the number, `error` a later one that concerns the account.  `listed` and
    `health` are None before the first listing and the first check.
    """

    details: Details
    entry: Entry
    account: AccountStatus | None
    own_error: LastError | None
    own_error_resolved: bool
    account_error: LastError | None
    listed: Listed | None
    health_refused: Fault | None

    @classmethod
    def of(cls, details: Details, snapshot: Snapshot, account: AccountStatus | None) -> NumberView:
        """The view of a number at the time of `snapshot`."""
        record = details.record
        own, last = record.own_error, record.last_error
        operations = () if account is None else refused_operations(account)
        return cls(
            details,
            entry_of(record, snapshot, () if account is None else (account,)),
            account,
            own,
            own is not None and is_resolved(record),
            None if last == own or record.last_poll_success else last,
            _listed(record, snapshot),
            next((fault for fault in operations if fault.of == GetWhatsappHealthStatus.name), None),
        )

    @property
    def record(self) -> NumberState:
        """The number's record."""
        return self.details.record

    @property
    def number(self) -> PhoneNumber:
        """The number."""
        return self.details.record.number

    @property
    def health(self) -> HealthState | None:
        """What the checks brought; None before the first."""
        return self.details.record.health

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What is wrong, the most urgent first."""
        return troubles(self.entry.facts)

    @property
    def discovers(self) -> bool:
        """Whether the page has a part about listings."""
        return self.listed is not None or (self.account is not None and self.account.discovery is not None)

    @property
    def checks(self) -> bool:
        """Whether the page has a part about health."""
        return self.health is not None or (self.account is not None and self.account.health_seconds is not None)


def health_advice(code: str) -> str:
    """What to do about the code of a health check that failed."""
    return advice(code, GetWhatsappHealthStatus.name)


def _listed(record: NumberState, snapshot: Snapshot) -> Listed | None:
    listing = record.listing
    if listing is None:
        return None
    return Listed(
        listing.entry,
        listing.listed,
        snapshot.unix_of(listing.looked_at),
        snapshot.unix_of(listing.seen_at),
        snapshot.entry(record) is None,
        snapshot.listed(record) is None,
    )
