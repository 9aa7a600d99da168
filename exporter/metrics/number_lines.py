"""What is shown of a number, formatted, and how the lines of each family about numbers are joined from it.

Labels and timestamps take long to format: a `Row` is kept until its number changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from exporter.metrics import catalogue
from exporter.metrics.catalogue import NUMBER_LABELS, Metric
from exporter.metrics.text_format import escaped, format_around, format_labels, format_value
from exporter.model import KNOWN_STATUSES, QUALITY_RATINGS, UNKNOWN, VERDICTS, HealthError, ListedNumber
from exporter.state.records import ShownValues
from exporter.state.store import NumberState, Snapshot

Tails = tuple[str, ...]
"""What follows the number on each line of a state set.  The first is empty: `join` puts the number before each."""


class Listed(NamedTuple):
    """What the last listing says of a number; many numbers share it."""

    listed: str
    connection: Tails
    quality: Tails
    name_status: Tails
    limit: str


class Row(NamedTuple):
    """One number, and what is shown of it now, formatted.  A number for which a text is empty has no line.

    `label` is escaped: mostly it is the very string that the record holds.  All labels formatted would take three times
    the memory of the rest.
    """

    record: NumberState
    pieces: tuple[str, ...]
    label: str
    status: Tails
    poll_success: str
    success: str
    since: str
    listing: Listed
    verdict: Tails
    errors: tuple[HealthError, ...]

    @classmethod
    def of(cls, record: NumberState, snapshot: Snapshot, old: Row | None = None) -> Row:
        """The row of a number at the time of `snapshot`; `old` is any row, best an earlier one of the number."""
        number, health = record.number, record.health
        success = since = _instant(record.success_unix)  # one string for both if they are the same instant
        if old is not None and old.record.status_since_unix == record.status_since_unix:
            since = old.since
        elif record.status_since_unix != record.success_unix:
            since = _instant(record.status_since_unix)
        return cls(
            record,
            _pieces(number.account, number.cust_space_id, number.labels),
            escaped(number.label),
            _tails("status", KNOWN_STATUSES, snapshot.status(record), record.extra_statuses),
            _flag(record.last_poll_success),
            success,
            since,
            _listing(snapshot.listed(record), _said(snapshot.entry(record)), record.shown),
            _tails("verdict", VERDICTS, snapshot.verdict(record), () if health is None else health.shown),
            snapshot.health_errors(record),
        )


def _said(entry: ListedNumber | None) -> tuple[str, str, str, float | None]:
    if entry is None:
        return "", "", "", None
    return entry.connection_status, entry.quality_rating or UNKNOWN, entry.name_status, entry.messaging_limit


@lru_cache(maxsize=1024)
def _listing(listed: bool | None, said: tuple[str, str, str, float | None], shown: ShownValues) -> Listed:
    connection, quality, name_status, limit = said
    return Listed(
        _flag(listed),
        _tails("status", (), connection, shown.connection_statuses),
        _tails("rating", QUALITY_RATINGS, quality, shown.quality_ratings),
        _tails("status", (), name_status, shown.name_statuses),
        "" if limit is None else format_value(limit),
    )


@lru_cache(maxsize=1024)
def _tails(label: str, known: tuple[str, ...], current: str, shown: tuple[str, ...]) -> Tails:
    """A line for each state: the `known` ones, and others that a number has shown; that of the `current` one is 1."""
    if not current:
        return ("",)
    states = (*known, *shown)
    return ("", *(f",{format_labels([(label, state)])}}} {float(state == current)}\n" for state in states))


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


def _flag(value: bool | None) -> str:
    return "" if value is None else "1.0" if value else "0.0"


def _instant(unix: float | None) -> str:
    return "" if unix is None else format_value(unix)


def _verified_name(record: NumberState) -> str:
    """The last one known, however old: a changed label would make a new series."""
    return "" if record.listing is None or record.listing.entry is None else record.listing.entry.verified_name


class Family(NamedTuple):
    """A family about numbers: the `value` of a row that its lines depend on, and how its lines are written."""

    metric: Metric
    value: Callable[[Row], Any]
    lines: Callable[[Iterable[Row]], str]


def _state_set(metric: Metric, value: Callable[[Row], Tails]) -> Family:
    """A family with a line for each state of a number."""
    before = f"{metric.name}{{"

    def lines(rows: Iterable[Row]) -> str:
        return "".join([f'{before}{row.pieces[0]}{row.label}"'.join(value(row)) for row in rows])

    return Family(metric, value, lines)


def _one_value(metric: Metric, value: Callable[[Row], str]) -> Family:
    """A family with one line a number."""
    before = f"{metric.name}{{"

    def lines(rows: Iterable[Row]) -> str:
        # One comprehension, as in the others: at 1,000 polls/s a scrape spends its time here.
        return "".join([f'{before}{row.pieces[0]}{row.label}"}} {text}\n' for row in rows if (text := value(row))])

    return Family(metric, value, lines)


def _info_lines(rows: Iterable[Row]) -> str:
    return "".join([_info_line(row) for row in rows])


def _info_line(row: Row) -> str:
    record, (_, before, between, before_id, before_verified, after) = row.record, row.pieces
    return (
        f"{catalogue.INFO.name}{{{before}{escaped(record.number.name)}{between}{row.label}{before_id}"
        f"{escaped(record.phone_number_id)}{before_verified}{escaped(_verified_name(record))}{after}}} 1.0\n"
    )


def _error_lines(rows: Iterable[Row]) -> str:
    return "".join([line for row in rows if row.errors for line in _errors_of(row)])


def _errors_of(row: Row) -> list[str]:
    """Each error once, whatever its texts say.  Its labels stand before the number's."""
    own = catalogue.HEALTH_ERROR.labels[-2:]
    errors = dict.fromkeys((error.entity, error.code) for error in row.errors)
    before_number = row.pieces[0]
    cut = before_number.rindex("phone_number=")
    return [
        f"{catalogue.HEALTH_ERROR.name}{{{before_number[:cut]}{format_labels(zip(own, error, strict=True))},"
        f'{before_number[cut:]}{row.label}"}} 1.0\n'
        for error in errors
    ]


FAMILIES = (
    _state_set(catalogue.STATUS, attrgetter("status")),
    Family(catalogue.INFO, lambda row: (row.record.phone_number_id, _verified_name(row.record)), _info_lines),
    _one_value(catalogue.LAST_POLL_SUCCESS, attrgetter("poll_success")),
    _one_value(catalogue.LAST_SUCCESS, attrgetter("success")),
    _one_value(catalogue.STATUS_CHANGE, attrgetter("since")),
    _one_value(catalogue.LISTED, attrgetter("listing.listed")),
    _state_set(catalogue.CONNECTION_STATUS, attrgetter("listing.connection")),
    _state_set(catalogue.QUALITY_RATING, attrgetter("listing.quality")),
    _state_set(catalogue.NAME_STATUS, attrgetter("listing.name_status")),
    _one_value(catalogue.MESSAGING_LIMIT, attrgetter("listing.limit")),
    _state_set(catalogue.CAN_SEND, attrgetter("verdict")),
    Family(catalogue.HEALTH_ERROR, attrgetter("errors"), _error_lines),
)
"""The families about numbers, and how their lines are written."""
