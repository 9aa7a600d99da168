"""The lines of each family about numbers, joined from what the rows hold formatted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import attrgetter

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Metric
from exporter.metrics.number_rows import Row, limit, shown_verdicts, states, verified_name
from exporter.metrics.text_format import escaped, format_labels, format_value
from exporter.model import KNOWN_STATUSES, QUALITY_RATINGS, VERDICTS

Lines = Callable[[Iterable[Row]], str]


def _state_set(
    metric: Metric, known: tuple[str, ...], current: Callable[[Row], str], shown: Callable[[Row], tuple[str, ...]]
) -> tuple[Metric, Lines]:
    """A family with a line for each state of a number: the `known` ones, and others that it has shown.

    The metric's last label is the state.  The line of the `current` state is 1; a number without one has no lines.
    """
    before, label = f"{metric.name}{{", metric.labels[-1]

    def lines(rows: Iterable[Row]) -> str:
        return "".join(
            [
                f'{before}{row.pieces[0]}{row.label}"'.join(_tails(label, known, current(row), shown(row)))
                for row in rows
            ]
        )

    return metric, lines


@lru_cache(maxsize=1024)
def _tails(label: str, known: tuple[str, ...], current: str, shown: tuple[str, ...]) -> tuple[str, ...]:
    """What follows the number on each of its lines; the first is empty, so that `join` puts the number before each."""
    if not current:
        return ("",)
    states = (*known, *shown)
    return ("", *(f",{format_labels([(label, state)])}}} {float(state == current)}\n" for state in states))


def _one_value(metric: Metric, value: Callable[[Row], str]) -> tuple[Metric, Lines]:
    """A family with one line a number; a number whose `value` is empty has none."""
    before = f"{metric.name}{{"

    def lines(rows: Iterable[Row]) -> str:
        # One comprehension, as in the others: at 1,000 polls/s a scrape spends its time here.
        return "".join([f'{before}{row.pieces[0]}{row.label}"}} {text}\n' for row in rows if (text := value(row))])

    return metric, lines


def _flag(value: bool | None) -> str:
    return "" if value is None else "1.0" if value else "0.0"


def _limit(row: Row) -> str:
    found = limit(row.entry)
    return "" if found is None else _number(found)


@lru_cache(maxsize=64)
def _number(value: float) -> str:
    return format_value(value)


def _info_lines(rows: Iterable[Row]) -> str:
    return "".join([_info_line(row) for row in rows])


def _info_line(row: Row) -> str:
    _, before, between, before_id, before_verified, after = row.pieces
    return (
        f"{catalogue.INFO.name}{{{before}{row.name}{between}{row.label}{before_id}{row.id}"
        f"{before_verified}{escaped(verified_name(row.record))}{after}}} 1.0\n"
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


def _state(index: int) -> Callable[[Row], str]:
    """The state in one of `LISTING_SETS`."""
    return lambda row: states(row.entry)[index]


FAMILIES: tuple[tuple[Metric, Lines], ...] = (
    _state_set(catalogue.STATUS, KNOWN_STATUSES, attrgetter("status"), attrgetter("record.extra_statuses")),
    (catalogue.INFO, _info_lines),
    _one_value(catalogue.LAST_POLL_SUCCESS, lambda row: _flag(row.record.last_poll_success)),
    _one_value(catalogue.LAST_SUCCESS, attrgetter("success")),
    _one_value(catalogue.STATUS_CHANGE, attrgetter("since")),
    _one_value(catalogue.LISTED, lambda row: _flag(row.listed)),
    _state_set(catalogue.CONNECTION_STATUS, (), _state(0), attrgetter("record.shown.connection_statuses")),
    _state_set(catalogue.QUALITY_RATING, QUALITY_RATINGS, _state(1), attrgetter("record.shown.quality_ratings")),
    _state_set(catalogue.NAME_STATUS, (), _state(2), attrgetter("record.shown.name_statuses")),
    _one_value(catalogue.MESSAGING_LIMIT, _limit),
    _state_set(catalogue.CAN_SEND, VERDICTS, attrgetter("verdict"), lambda row: shown_verdicts(row.record)),
    (catalogue.HEALTH_ERROR, _error_lines),
)
"""The families about numbers, and how their lines are written."""
