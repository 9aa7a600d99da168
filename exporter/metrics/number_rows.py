"""What takes long to format of a number's lines, kept until it changes.  See `number_lines`."""

from __future__ import annotations

from functools import lru_cache

from exporter.metrics import catalogue
from exporter.metrics.catalogue import NUMBER_LABELS
from exporter.metrics.text_format import escaped, format_around, format_value
from exporter.model import UNKNOWN, ListedNumber
from exporter.state.store import NumberState, Snapshot

LISTING_SETS = (
    catalogue.CONNECTION_STATUS.name,
    catalogue.QUALITY_RATING.name,
    catalogue.NAME_STATUS.name,
)
"""The state sets of what listings say, in the order of `ShownValues`."""


class Row:
    """One number's texts, and what is shown of it now.

    `name`, `label` and `id` are escaped: mostly these are the very strings that the record holds.  All labels formatted
    would take three times the memory of the rest.
    """

    __slots__ = (
        "entry",
        "errors",
        "id",
        "label",
        "listed",
        "name",
        "pieces",
        "record",
        "since",
        "status",
        "success",
        "verdict",
    )

    def __init__(self, record: NumberState, snapshot: Snapshot) -> None:
        number = record.number
        self.record = record
        self.pieces = _pieces(number.account, number.cust_space_id, number.labels)
        self.name = escaped(number.name)
        self.label = escaped(number.label)
        self.id = escaped(record.phone_number_id)
        self.success = _instant(record.success_unix)
        # one string for both if they are the same instant
        is_same = record.status_since_unix == record.success_unix
        self.since = self.success if is_same else _instant(record.status_since_unix)
        self.status = snapshot.status(record)
        self.listed = snapshot.listed(record)
        self.entry = snapshot.entry(record)
        self.verdict = snapshot.verdict(record)
        self.errors = snapshot.health_errors(record)

    def update(self, record: NumberState, snapshot: Snapshot) -> list[str]:
        """Format what changed of the same number; returns the names of the metrics to write again.

        What only became too old is left to `show`.
        """
        old, self.record = self.record, record
        changed = []
        if record.phone_number_id != old.phone_number_id:
            self.id = escaped(record.phone_number_id)
            changed.append(catalogue.INFO.name)
        if record.last_poll_success is not old.last_poll_success:
            changed.append(catalogue.LAST_POLL_SUCCESS.name)
        if record.success_unix != old.success_unix:
            self.success = _instant(record.success_unix)
            changed.append(catalogue.LAST_SUCCESS.name)
        if record.status_since_unix != old.status_since_unix:
            self.since = _instant(record.status_since_unix)
            changed.append(catalogue.STATUS_CHANGE.name)
        changed += self._show_status(old, snapshot)
        if record.listing is not old.listing:
            changed += self._show_listing(old, snapshot)
        if record.health is not old.health:
            changed += self._show_health(old, snapshot)
        return changed

    def show(self, snapshot: Snapshot) -> list[str]:
        """Look at all that ages; returns the names of the metrics to write again."""
        return [
            *self._show_status(self.record, snapshot),
            *self._show_listing(self.record, snapshot),
            *self._show_health(self.record, snapshot),
        ]

    def _show_status(self, old: NumberState, snapshot: Snapshot) -> tuple[str, ...]:
        status = snapshot.status(self.record)
        if status == self.status and self.record.extra_statuses == old.extra_statuses:
            return ()
        self.status = status
        return (catalogue.STATUS.name,)

    def _show_listing(self, old: NumberState, snapshot: Snapshot) -> list[str]:
        record, before, changed = self.record, self.entry, []
        listed, self.entry = snapshot.listed(record), snapshot.entry(record)
        if listed is not self.listed:
            self.listed = listed
            changed.append(catalogue.LISTED.name)
        if self.entry is not before or record.shown is not old.shown:
            sets = zip(LISTING_SETS, states(before), states(self.entry), old.shown, record.shown, strict=True)
            changed += [name for name, was, now, shown_before, shown in sets if (was, shown_before) != (now, shown)]
            if limit(self.entry) != limit(before):
                changed.append(catalogue.MESSAGING_LIMIT.name)
        if verified_name(record) != verified_name(old):
            changed.append(catalogue.INFO.name)
        return changed

    def _show_health(self, old: NumberState, snapshot: Snapshot) -> list[str]:
        verdict, errors, changed = snapshot.verdict(self.record), snapshot.health_errors(self.record), []
        if verdict != self.verdict or shown_verdicts(self.record) != shown_verdicts(old):
            self.verdict = verdict
            changed.append(catalogue.CAN_SEND.name)
        if errors != self.errors:
            self.errors = errors
            changed.append(catalogue.HEALTH_ERROR.name)
        return changed


def states(entry: ListedNumber | None) -> tuple[str, str, str]:
    """The current state of each of `LISTING_SETS`; empty for none."""
    if entry is None:
        return "", "", ""
    return entry.connection_status, entry.quality_rating or UNKNOWN, entry.name_status


def limit(entry: ListedNumber | None) -> float | None:
    """The messaging limit; None if it is not known."""
    return None if entry is None else entry.messaging_limit


def shown_verdicts(record: NumberState) -> tuple[str, ...]:
    """Verdicts beyond the documented ones that the number has shown."""
    return () if record.health is None else record.health.shown


def verified_name(record: NumberState) -> str:
    """The last one known, however old: a changed label would make a new series."""
    return "" if record.listing is None or record.listing.entry is None else record.listing.entry.verified_name


@lru_cache(maxsize=1024)
def _pieces(account: str, cust_space_id: str, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What the lines of all numbers with this space and these labels have in common between the braces.

    First what stands before the number in a line without other labels.  Then what stands before, between and after the
    name, the number, the ID and the verified name in a line of the info metric.
    """
    identity = tuple(zip(NUMBER_LABELS, (account, cust_space_id, ""), strict=True))
    before_number, _ = format_around(identity, ("phone_number",))
    own = ("name", "phone_number_id", "verified_name")
    info = (*identity, *((name, "") for name in own), *labels)
    return (before_number, *format_around(info, ("phone_number", *own)))


def _instant(unix: float | None) -> str:
    return "" if unix is None else format_value(unix)
