"""What the page of one number says: what is wrong and what to do, its last errors, its listing, its health.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.cams.operations import GetWhatsappHealthStatus
from exporter.model import AccountStatus, ListedNumber
from exporter.state.store import Details, NumberState, Snapshot
from exporter.web.ui.accounts import refused_operations
from exporter.web.ui.entries import Uses, entry_of, is_resolved, limit_of
from exporter.web.ui.judgement import troubles


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


def values(details: Details, snapshot: Snapshot, account: AccountStatus | None) -> dict[str, object]:
    """All that the page says about a number at the time of `snapshot`.

    `own_error` is the last error that concerns the number, `account_error` a later one that concerns the account.
    `listed` and `health` are None before the first listing and the first check.  `discovers` and `checks` tell whether
    the page has a part about them.
    """
    record = details.record
    entry = entry_of(record, snapshot, Uses.of(() if account is None else (account,)))
    own, last, listed = record.own_error, record.last_error, _listed(record, snapshot)
    operations = () if account is None else refused_operations(account)
    return {
        "record": record,
        "number": record.number,
        "entry": entry,
        "polls": details.polls,
        "account": account,
        "troubles": troubles(entry.facts),
        "own_error": own,
        "own_error_resolved": own is not None and is_resolved(record),
        "account_error": None if last == own or record.last_poll_success else last,
        "discovers": listed is not None or (account is not None and account.discovery is not None),
        "listed": listed,
        "checks": record.health is not None or (account is not None and account.health_seconds is not None),
        "health": record.health,
        "health_refused": next((fault for fault in operations if fault.of == GetWhatsappHealthStatus.name), None),
    }


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
