"""The rows of the dashboard "CAMS numbers" about listings and health checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.model import AVAILABLE, BLOCKED, CONNECTED, LIMITED, UNKNOWN
from grafana import sending_queries as sending
from grafana.panels import (
    BAD_IF_ANY,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    WARN_IF_ANY,
    YELLOW,
    Text,
    colour_series,
    graph,
    now,
    over_time,
    single,
)
from grafana.tables import Column, listing, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana import board

NO_LISTING = "discover is not used"
NO_CHECK = "health is not used"
_VERDICTS = {AVAILABLE: GREEN, LIMITED: ORANGE, BLOCKED: RED, UNKNOWN: GREY}
_CONNECTIONS = {CONNECTED: GREEN, "PENDING": BLUE, "FLAGGED": ORANGE, "RATE_LIMITED": ORANGE, "BANNED": RED}
_RATINGS = {"GREEN": GREEN, "YELLOW": YELLOW, "RED": RED, UNKNOWN: GREY}


def can_send(it: board.Board, identity: Sequence[Column], status: Column) -> None:
    """Counts, and the numbers that are not known to send; `identity` and `status` are columns of their table."""
    stats = (
        (
            Text("Can send", "Numbers whose last health check answered AVAILABLE.", ("CamsHealthCheckFailing",)),
            sending.with_verdicts(f'verdict="{AVAILABLE}"'),
            ((None, RED), (1, GREEN)),
            NO_CHECK,
        ),
        (
            Text("Blocked", "Numbers that Meta lets send nothing.", ("CamsNumberCannotSend",)),
            sending.with_verdicts(f'verdict="{BLOCKED}"'),
            BAD_IF_ANY,
            NO_CHECK,
        ),
        (
            Text("Limited", "Numbers that send, but not everything.", ("CamsNumberSendingLimited",)),
            sending.with_verdicts(f'verdict="{LIMITED}"'),
            WARN_IF_ANY,
            NO_CHECK,
        ),
        (
            Text(
                "Not connected",
                "Numbers that the newest listing shows with a connection status other than CONNECTED.",
                ("CamsNumberDisconnected",),
            ),
            sending.not_connected(),
            BAD_IF_ANY,
            NO_LISTING,
        ),
        (
            Text("Quality RED", "Numbers that many customers block or report.", ("CamsNumberQualityLow",)),
            sending.rated(sending.RED_RATING),
            WARN_IF_ANY,
            NO_LISTING,
        ),
        (
            Text(
                "Not listed", "Numbers that the newest listing of their space did not hold.", ("CamsNumbersVanished",)
            ),
            sending.vanished(),
            WARN_IF_ANY,
            NO_LISTING,
        ),
    )
    for text, query, steps, empty in stats:
        it.add(single(text, now(query), steps=steps).no_value(empty), width=4, height=4)
    columns = (
        *identity,
        Column("verdict", "Verdict", colours=_meanings(_VERDICTS), width=110, empty="not checked"),
        Column("error_code", "Error", width=90, empty="none"),
        Column("connection", "Connection", colours=_meanings(_CONNECTIONS), width=130, empty="not listed"),
        Column("rating", "Quality", colours=_meanings(_RATINGS), width=90, empty="not listed"),
        Column("Value #E", "Limit a day", unit="short", width=100, empty="not known"),
        status,
    )
    text = Text(
        "Can it send, and if not why",
        "Every chosen number that is not known to send (verdict other than AVAILABLE, or not CONNECTED), or whose "
        "quality is RED. Error: one of Meta's codes from the health check; the runbook of CamsNumberCannotSend says "
        "what each asks for, and the exporter's page shows all of them. Without discover and health in the exporter's "
        "configuration nothing is known, and the table is empty.",
        ("CamsNumberCannotSend", "CamsNumberDisconnected", "CamsNumberQualityLow"),
    )
    empty = "No number chosen is known to be in trouble (discover and health must be used)"
    it.add(listing(text, rows(*sending.trouble()), columns, empty=empty, sort="Verdict"), width=24, height=9)
    text = Text("Numbers by verdict", "How many chosen numbers had each verdict.", ("CamsNumberCannotSend",))
    _by_value(it, text, "verdict", sending.verdict(), _VERDICTS, NO_CHECK)
    codes = (
        Column("account", "Account"),
        Column("entity", "Entity"),
        Column("error_code", "Error"),
        Column("Value #A", "Numbers", unit="short"),
        Column("Value #B", "Spaces", unit="short"),
    )
    text = Text(
        "Errors of health checks",
        "How many chosen numbers have each error, and whether it is the number's, its WABA's or the business's.",
        ("CamsNumberCannotSend",),
    )
    empty = "No health check named an error (health must be used)"
    it.add(listing(text, rows(*sending.errors()), codes, empty=empty, sort="Error"), width=12, height=8)


def connection(it: board.Board) -> None:
    """Which numbers are connected, over time."""
    text = Text(
        "Numbers by connection",
        "How many chosen numbers had each connection status. Only CONNECTED sends and receives.",
        ("CamsNumberDisconnected",),
    )
    _by_value(it, text, "connection", sending.connection(), _CONNECTIONS, NO_LISTING)
    it.add(
        graph(
            Text(
                "Numbers not listed, by space",
                "How many chosen numbers the newest listing of their space did not hold. They are still polled.",
                ("CamsNumbersVanished",),
            ),
            over_time(
                f"sum by (account, cust_space_id) (1 - {sending.is_listed()}) > 0", "{{account}} {{cust_space_id}}"
            ),
            empty="Every listing held all numbers (discover must be used)",
            coarse=True,
        ),
        width=12,
        height=8,
    )


def quality(it: board.Board) -> None:
    """Quality ratings and messaging limits, over time."""
    text = Text(
        "Numbers by quality",
        "How many chosen numbers had each quality rating. UNKNOWN: Meta does not rate the number.",
        ("CamsNumberQualityLow",),
    )
    _by_value(it, text, "rating", sending.rating(), _RATINGS, NO_LISTING)
    it.add(
        graph(
            Text(
                "Numbers by messaging limit",
                "How many chosen numbers may write first to that many customers a day; +Inf: no limit.",
                ("CamsMessagingLimitFell",),
            ),
            over_time(sending.limits(), "{{customers}}"),
            stacked=True,
            empty=NO_LISTING,
            coarse=True,
        ),
        width=12,
        height=8,
    )


def _meanings(colours: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {value: (value, colour) for value, colour in colours.items()}


def _by_value(it: board.Board, text: Text, label: str, numbers: str, colours: Mapping[str, str], empty: str) -> None:
    """How many of the chosen numbers had each value of a label, over time."""
    counts = over_time(sending.count_by(label, numbers), f"{{{{{label}}}}}")
    it.add(colour_series(graph(text, counts, stacked=True, empty=empty, coarse=True), colours), width=12, height=8)
