"""What takes long to format of a number's lines, kept until it changes.  See `number_lines`."""

from __future__ import annotations

from collections.abc import Iterator
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

    `name`, `label`, `id` and `verified_name` are escaped: mostly these are the very strings that the record holds.  All
    labels formatted would take three times the memory of the rest.
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
        "verified_name",
    )

    def __init__(self, record: NumberState, snapshot: Snapshot) -> None:
        number = record.number
        self.record = record
        self.pieces = _pieces(number.account, number.cust_space_id, number.labels)
        self.name = escaped(number.name)
        self.label = escaped(number.label)
        self.id = escaped(record.phone_number_id)
        self.verified_name = escaped(_verified_name(record))
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
        """Format what changed of the same number; returns the names of the metrics to write again."""
        old, self.record = self.record, record
        changed = [*self._polled(old, snapshot), *self._listed(old, snapshot), *self._checked(old, snapshot)]
        if record.phone_number_id != old.phone_number_id or record.listing is not old.listing:
            ids = escaped(record.phone_number_id), escaped(_verified_name(record))
            if ids != (self.id, self.verified_name):
                self.id, self.verified_name = ids
                changed.append(catalogue.INFO.name)
        return changed

    def _polled(self, old: NumberState, snapshot: Snapshot) -> Iterator[str]:
        record, status = self.record, snapshot.status(self.record)
        if status != self.status or record.extra_statuses != old.extra_statuses:
            self.status = status
            yield catalogue.STATUS.name
        if record.last_poll_success is not old.last_poll_success:
            yield catalogue.LAST_POLL_SUCCESS.name
        if record.success_unix != old.success_unix:
            self.success = _instant(record.success_unix)
            yield catalogue.LAST_SUCCESS.name
        if record.status_since_unix != old.status_since_unix:
            self.since = _instant(record.status_since_unix)
            yield catalogue.STATUS_CHANGE.name

    def _listed(self, old: NumberState, snapshot: Snapshot) -> Iterator[str]:
        listed, entry = snapshot.listed(self.record), snapshot.entry(self.record)
        if listed is not self.listed:
            self.listed = listed
            yield catalogue.LISTED.name
        before, self.entry = self.entry, entry
        if entry is not before or self.record.shown is not old.shown:
            is_other = (entry is None) is not (before is None)
            sets = zip(LISTING_SETS, _values(before), _values(entry), old.shown, self.record.shown, strict=True)
            for name, value_before, value, shown_before, shown in sets:
                if is_other or value != value_before or shown != shown_before:
                    yield name
            if is_other or (entry and entry.messaging_limit) != (before and before.messaging_limit):
                yield catalogue.MESSAGING_LIMIT.name

    def _checked(self, old: NumberState, snapshot: Snapshot) -> Iterator[str]:
        verdict, errors = snapshot.verdict(self.record), snapshot.health_errors(self.record)
        health, before = self.record.health, old.health
        if verdict != self.verdict or (health and health.shown) != (before and before.shown):
            self.verdict = verdict
            yield catalogue.CAN_SEND.name
        if errors != self.errors:
            self.errors = errors
            yield catalogue.HEALTH_ERROR.name


def _values(entry: ListedNumber | None) -> tuple[str, str, str]:
    """The current value of each of `LISTING_SETS`; empty for no value."""
    if entry is None:
        return "", "", ""
    return entry.connection_status, entry.quality_rating or UNKNOWN, entry.name_status


def _verified_name(record: NumberState) -> str:
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
