"""The dashboard "CAMS numbers": which numbers cannot send and why, which are not verified, and which get no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.model import EXPIRED, NOT_VERIFIED, UNKNOWN, VERIFIED
from grafana import board, queries, sending_rows
from grafana.panels import (
    BAD_IF_ANY,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    WARN_IF_ANY,
    YELLOW,
    Text,
    colour_series,
    graph,
    now,
    over_time,
    single,
    states,
)
from grafana.tables import Column, listing, matrix, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard

TITLE = "CAMS numbers"

COLOURS = {VERIFIED: GREEN, EXPIRED: YELLOW, NOT_VERIFIED: RED, UNKNOWN: GREY, queries.OTHER: PURPLE}
_DOCUMENTED = {status: colour for status, colour in COLOURS.items() if status != queries.OTHER}
_POLL = {"1": ("OK", GREEN), "0": ("failed", RED)}

_HISTORY = (
    f"/d/{board.NUMBERS_UID}?${{datasource:queryparam}}&${{job:queryparam}}&${{exporter_url:queryparam}}"
    "&${__url_time_range}&var-account=${__data.fields.Account:percentencode}"
    "&var-space=${__data.fields.Space:percentencode}&var-number=${__data.fields.Number:percentencode}"
)
_STATUS_PAGE = (
    "This number on the exporter's status page",
    "${exporter_url:raw}/numbers?account=${__data.fields.Account:percentencode}&q=${__data.fields.Number:percentencode}",
)
_STATUS = Column(
    "status", "Status", colours={status: (status, colour) for status, colour in _DOCUMENTED.items()}, width=150
)
_NUMBER = (
    Column("account", "Account"),
    Column("cust_space_id", "Space"),
    Column("phone_number", "Number", links=(("This number", _HISTORY), _STATUS_PAGE)),
    Column("name", "Name"),
)
_IDENTITY = (*_NUMBER, _STATUS)


def build() -> dashboard.Dashboard:
    """The dashboard, ready to be written."""
    it = board.Board(
        board.NUMBERS_UID,
        TITLE,
        "Verification status of WhatsApp numbers on Alibaba Cloud, and whether they can send, as of the last answers.",
        since="24h",
    )
    it.row("Fleet now")
    _fleet(it)
    it.row("Can it send?")
    sending_rows.can_send(it, _NUMBER, _STATUS)
    it.row("Connection")
    sending_rows.connection(it)
    it.row("Quality and limits")
    sending_rows.quality(it)
    it.row("Not verified")
    _not_verified(it)
    it.row("Status over time")
    _history(it)
    it.row("Freshness: numbers without an answer")
    _freshness(it)
    return it.build(board.number_variables(), board.links(board.EXPORTER_UID, "CAMS exporter"), board.marks())


def _fleet(it: board.Board) -> None:
    count_of = queries.numbers_with
    stats = (
        (
            Text("Numbers", "Configured phone numbers that match the choice above."),
            queries.numbers(),
            ((None, BLUE),),
        ),
        (
            Text("Verified", "Numbers whose verification is valid."),
            count_of(VERIFIED),
            ((None, RED), (1, GREEN)),
        ),
        (
            Text("Not verified", "Numbers that must be verified now.", ("CamsNumberNotVerified",)),
            count_of(NOT_VERIFIED),
            BAD_IF_ANY,
        ),
        (
            Text(
                "Expired",
                "Numbers whose verification has expired. It is valid for about 14 days. "
                "A connected number still sends. Verify it again soon.",
                ("CamsNumberExpired",),
            ),
            count_of(EXPIRED),
            WARN_IF_ANY,
        ),
        (
            Text(
                "Other status",
                "Numbers with a status that the API's documentation does not name.",
                ("CamsNumberUnexpectedStatus",),
            ),
            count_of(queries.OTHER),
            ((None, GREEN), (1, PURPLE)),
        ),
        (
            Text(
                "Unknown",
                "Numbers without an answer yet, or without one within stale_after. Their status is not known.",
                ("CamsNumberStatusUnknown",),
            ),
            count_of(UNKNOWN),
            ((None, GREEN), (1, GREY)),
        ),
        (
            Text(
                "Failing",
                "Numbers whose last poll failed. They keep their last status until stale_after.",
                ("CamsNumberFailing",),
            ),
            f"sum(1 - {queries.last_poll()})",
            ((None, GREEN), (1, ORANGE)),
        ),
        (
            Text(
                "Stale",
                "Numbers whose last answer is older than three intervals plus the lag of their account. "
                "The cause is failed polls, not slow polling.",
                ("CamsNumberFailing",),
            ),
            f"sum({queries.stale('> bool')})",
            ((None, GREEN), (1, ORANGE)),
        ),
    )
    for text, query, steps in stats:
        it.add(single(text, now(query), steps=steps), width=3, height=4)


def _not_verified(it: board.Board) -> None:
    chosen = queries.unhappy()
    columns = (
        *_IDENTITY,
        Column("Value #B", "Since", unit="dateTimeAsIso", width=170, empty="not known"),
        Column("Value #C", "Last answer", unit="s", width=130, empty="never"),
        Column("Value #D", "Last poll", colours=_POLL, width=90, empty="none yet"),
    )
    text = Text(
        "Numbers that are not verified",
        "Every chosen number whose status is not VERIFIED. Since: when an exporter first saw this status; after a "
        "restart without --storage.path, the first poll. Last answer: its age. The links of a number lead to its "
        "history here, and to the exporter's page with its last error and RequestId.",
        ("CamsNumberNotVerified", "CamsNumberExpired", "CamsNumberUnexpectedStatus", "CamsNumberStatusUnknown"),
    )
    asked = rows(
        queries.named(chosen),
        queries.only(queries.unhappy_since(), chosen),
        queries.only(queries.answer_age(), chosen),
        queries.only(queries.last_poll(), chosen),
    )
    it.add(
        listing(text, asked, columns, empty="Every number chosen is verified", sort="Status"),
        width=24,
        height=9,
    )


def _history(it: board.Board) -> None:
    text = Text(
        "Status of the numbers least verified in this range",
        f"One line for each number: the {queries.TIMELINE_NUMBERS} chosen numbers that were VERIFIED for the smallest "
        "part of the range. Choose numbers, spaces or a status above to see others.",
        ("CamsNumberNotVerified",),
    )
    meanings = {
        place: (status if status != queries.OTHER else "other status", COLOURS[status])
        for place, status in enumerate(queries.SEVERITY, start=1)
    }
    legend = "{{account}} {{phone_number}} {{name}}"
    it.add(
        states(text, over_time(queries.timeline(), legend), meanings, per_page=25),
        width=24,
        height=14,
    )
    counts = graph(
        Text("Numbers by status", "How many of the chosen numbers had each status.", ("CamsFleetUnverifiedDrop",)),
        over_time(queries.numbers_by("status"), "{{status}}"),
        stacked=True,
        coarse=True,
    )
    it.add(colour_series(counts, _DOCUMENTED), width=12, height=9)
    it.add(
        matrix(
            Text("Numbers by account and status", "How many of the chosen numbers have each status now."),
            rows(queries.numbers_by("account", "status"))[0],
            row="account",
            column="status",
            heading="Account",
            empty="no data",
        ),
        width=6,
        height=9,
    )
    it.add(
        graph(
            Text(
                "Verified share by account",
                "The share of an account's chosen numbers that are VERIFIED. UNKNOWN counts as not verified. "
                "A sudden drop probably has one cause in the account.",
                ("CamsFleetUnverifiedDrop",),
            ),
            over_time(queries.verified_share(), "{{account}}"),
            unit="percentunit",
            maximum=1,
            coarse=True,
        ),
        width=6,
        height=9,
    )


def _freshness(it: board.Board) -> None:
    chosen = queries.stale_or_failing()
    columns = (
        *_IDENTITY,
        Column("Value #B", "Last answer", unit="s", width=130, empty="never"),
        Column("Value #C", "Last poll", colours=_POLL, width=90, empty="none yet"),
    )
    text = Text(
        "Stale and failing numbers",
        "Numbers whose last poll failed, or whose last answer is older than three intervals plus the lag of "
        "their account. Last answer: its age. The exporter's page shows the error and its RequestId.",
        ("CamsNumberFailing", "CamsNumberStatusUnknown"),
    )
    asked = rows(
        queries.named(queries.only(queries.having(), chosen)),
        queries.only(queries.answer_age(), chosen),
        queries.only(queries.last_poll(), chosen),
    )
    it.add(
        listing(text, asked, columns, empty="Every number chosen is fresh", sort="Account"),
        width=12,
        height=9,
    )
    troubled = graph(
        Text(
            "Failing and stale numbers",
            "How many of the chosen numbers had a failed last poll, and how many a stale answer.",
            ("CamsNumberFailing",),
        ),
        over_time(f"sum(1 - {queries.last_poll()})", "failing", "A"),
        over_time(f"sum({queries.stale('> bool')})", "stale", "B"),
        coarse=True,
    )
    it.add(colour_series(troubled, {"failing": ORANGE, "stale": RED}), width=6, height=9)
    it.add(
        graph(
            Text(
                "Oldest answer by account",
                "The age of the oldest answer among the account's chosen numbers. On schedule it stays "
                "below the interval. After stale_after the number reads UNKNOWN.",
                ("CamsNumberFailing", "CamsBudgetTooSmall"),
            ),
            over_time(f"max by (account) ({queries.answer_age()})", "{{account}}"),
            unit="s",
            coarse=True,
        ),
        width=6,
        height=9,
    )
