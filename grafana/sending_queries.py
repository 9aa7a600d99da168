"""The PromQL about what listings and health checks say.  Knows metrics and variables, but no panels.

The rules of `queries` hold, with two additions.

- What a listing says is taken from the exporter that listed the number's space last: a listing may be hours old.
- A health check has no time.  If replicas differ, the worst verdict is shown, and UNKNOWN only if no replica
  knows more.

Without `discover` or `health` no such series exists, and a panel says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics import catalogue
from exporter.model import AVAILABLE, BLOCKED, CONNECTED, UNKNOWN
from grafana.queries import NUMBER, having, named, of_account, of_number, only

if TYPE_CHECKING:
    from exporter.metrics.catalogue import Metric

RED_RATING = "RED"
_SPACE = "account, cust_space_id"
_EACH = f"{_SPACE}, job, instance"


def listed(metric: Metric, *matchers: str) -> str:
    """The series of `metric` about chosen numbers, from the exporter that listed the space last."""
    times = of_account(catalogue.DISCOVERY_SUCCESS)
    unknown = f"0 * max by ({_EACH}) ({of_number(catalogue.LISTED)})"
    newest = f"topk by ({_SPACE}) (1, {times} or on ({_EACH}) {unknown})"
    return f"({of_number(metric, *matchers)}\nand on ({_EACH}) {newest})"


def connection(*matchers: str) -> str:
    """1 for each chosen number that is listed, with its ``connection``."""
    shown = f'label_join({listed(catalogue.CONNECTION_STATUS, *matchers)} == 1, "connection", "", "status")'
    return f"max by ({NUMBER}, connection) ({shown})"


def rating(*matchers: str) -> str:
    """1 for each chosen number that is listed, with its quality ``rating``."""
    return f"max by ({NUMBER}, rating) ({listed(catalogue.QUALITY_RATING, *matchers)} == 1)"


def limit() -> str:
    """The messaging limit of each chosen number."""
    return f"max by ({NUMBER}) ({listed(catalogue.MESSAGING_LIMIT)})"


def is_listed() -> str:
    """1 for each chosen number that the newest listing of its space held, else 0."""
    return f"max by ({NUMBER}) ({listed(catalogue.LISTED)})"


def verdict() -> str:
    """A series for each chosen number whose health was checked, with its ``verdict``."""
    worst_last = (
        f'verdict="{UNKNOWN}"',
        f'verdict="{AVAILABLE}"',
        f'verdict!~"{UNKNOWN}|{AVAILABLE}|{BLOCKED}"',
        f'verdict="{BLOCKED}"',
    )
    ranked = "\nor ".join(
        f"{rank} * ({of_number(catalogue.CAN_SEND, matcher)} == 1)" for rank, matcher in enumerate(worst_last, start=1)
    )
    return f"max by ({NUMBER}, verdict) (topk by ({NUMBER}) (1, {ranked}))"


def with_verdict(matcher: str) -> str:
    """The series of `verdict` whose label ``verdict`` matches."""
    return f"({verdict()}\nand on ({NUMBER}, verdict) {of_number(catalogue.CAN_SEND, matcher)} == 1)"


def count(expression: str, among: str) -> str:
    """How many series `expression` has; 0 only if `among` has some."""
    return f"count({expression})\nor 0 * count({among})"


def count_by(label: str, expression: str) -> str:
    """How many numbers have each value of `label`."""
    return f"count by ({label}) ({expression})"


def with_verdicts(matcher: str) -> str:
    """How many chosen numbers have a verdict that matches."""
    return count(with_verdict(matcher), verdict())


def not_connected() -> str:
    """How many chosen numbers are listed with another connection status than CONNECTED."""
    return count(connection(f'status!="{CONNECTED}"'), connection())


def rated(value: str) -> str:
    """How many chosen numbers have the quality rating `value`."""
    return count(rating(f'rating="{value}"'), rating())


def vanished() -> str:
    """How many chosen numbers the newest listing of their space did not hold."""
    return count(f"{is_listed()} == 0", is_listed())


def in_trouble() -> str:
    """1 for each chosen number that is not known to send, or whose quality is RED."""
    unsure = with_verdict(f'verdict!="{AVAILABLE}"')
    away = connection(f'status!="{CONNECTED}"')
    red = rating(f'rating="{RED_RATING}"')
    flags = (f"group by ({NUMBER}) ({flagged})" for flagged in (unsure, away, red))
    return "\nor ".join(flags)


def trouble() -> tuple[str, ...]:
    """The columns of the table of numbers in trouble: name, verdict, connection, rating, limit, error, status."""
    chosen = in_trouble()
    first_error = f"max by ({NUMBER}, error_code) (topk by ({NUMBER}) (1, {of_number(catalogue.HEALTH_ERROR)}))"
    return (
        named(chosen),
        only(verdict(), chosen),
        only(connection(), chosen),
        only(rating(), chosen),
        only(limit(), chosen),
        only(first_error, chosen),
        only(having(), chosen),
    )


def errors() -> tuple[str, ...]:
    """How many chosen numbers have each error of the health check, and in how many spaces; by entity and code."""
    return tuple(
        f"count by (account, entity, error_code) (group by ({each}, entity, error_code) "
        f"({of_number(catalogue.HEALTH_ERROR)}))"
        for each in (NUMBER, _SPACE)
    )


def limits() -> str:
    """How many chosen numbers have each messaging limit, with the limit as ``customers``."""
    return f'count_values("customers", {limit()})'
