"""The rows of the dashboard "CAMS exporter" that are about operations of the API, discovery and number files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics import catalogue
from grafana import queries
from grafana.panels import GREEN, RED, YELLOW, Text, graph, now, over_time, single
from grafana.queries import each_exporter, of_account, of_job
from grafana.tables import Column, listing, rows

if TYPE_CHECKING:
    from grafana import board

_FILES = "job, instance, file"
NO_LISTING = "discover is not used"
_OPERATION = {"1": ("OK", GREEN), "0": ("refused", RED)}
_FILE = {"1": ("in force", GREEN), "0": ("last good list", RED)}
_LISTING_LATE = ((None, GREEN), (20 * 60, YELLOW), (6 * 3600, RED))


def operations(it: board.Board) -> None:
    """Requests by operation, and which operation is refused."""
    it.add(
        graph(
            Text(
                "Requests by operation",
                "Requests per second of each operation of the API. All of an account share its budget.",
                ("CamsDiscoveryFailing", "CamsHealthCheckFailing"),
            ),
            over_time(queries.rate(catalogue.REQUESTS, by="operation"), "{{operation}}"),
            unit="reqps",
            stacked=True,
        ),
        width=8,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Failed share by operation",
                "The share of an operation's requests that failed. Listings and health checks do not count against "
                "the account.",
                ("CamsDiscoveryFailing", "CamsHealthCheckFailing"),
            ),
            over_time(
                queries.error_ratio(by="operation"),
                "{{operation}}",
            ),
            unit="percentunit",
            maximum=1,
        ),
        width=8,
        height=8,
    )
    columns = (
        Column("account", "Account"),
        Column("operation", "Operation"),
        Column("Value #A", "State", colours=_OPERATION),
        Column("Value #B", "Requests a second", unit="reqps"),
    )
    text = Text(
        "Operations",
        "Each operation in use. Refused: its last answer was a refusal, or it never succeeded, on at least one "
        "replica.",
        ("CamsDiscoveryFailing", "CamsHealthCheckFailing"),
    )
    asked = rows(
        f"min by (account, operation) ({of_account(catalogue.OPERATION_UP)})",
        queries.rate(catalogue.REQUESTS, by="account, operation"),
    )
    it.add(listing(text, asked, columns, empty="no data", sort="State"), width=8, height=8)


def discovery(it: board.Board) -> None:
    """How many numbers were found where, and since when nothing could be listed."""
    found = f"max by (account, cust_space_id) ({of_account(catalogue.DISCOVERED)})"
    success = of_account(catalogue.DISCOVERY_SUCCESS)
    told = each_exporter(catalogue.TIME.name)
    clock = f"({told} or on (job, instance) 0 * max by (job, instance) ({success}) + time())"
    age = f"min by (account, cust_space_id) ({clock} - on (job, instance) group_right () {success})"
    it.add(
        single(
            Text("Numbers found", "Numbers in the last listings of the chosen accounts.", ("CamsDiscoveryFailing",)),
            now(f"sum({found})"),
        ).no_value(NO_LISTING),
        width=4,
        height=4,
    )
    it.add(
        single(
            Text(
                "Left out",
                "Numbers that were found and are not polled, because they are beyond max_numbers.",
                ("CamsDiscoveryFailing",),
            ),
            now(f"sum(max by (account) ({of_account(catalogue.LEFT_OUT)}))"),
            steps=((None, GREEN), (1, RED)),
        ).no_value(NO_LISTING),
        width=4,
        height=4,
    )
    it.add(
        graph(
            Text("Numbers found by account", "Numbers in the last listings of the account's spaces."),
            over_time(f"sum by (account) ({found})", "{{account}}"),
            empty=NO_LISTING,
        ),
        width=8,
        height=4,
    )
    it.add(
        graph(
            Text(
                "Oldest listing by account",
                "How long ago the space that waits longest was listed.",
                ("CamsDiscoveryFailing",),
            ),
            over_time(f"max by (account) ({age})", "{{account}}"),
            unit="s",
            empty=NO_LISTING,
        ),
        width=8,
        height=4,
    )
    columns = (
        Column("account", "Account"),
        Column("cust_space_id", "Space"),
        Column("Value #A", "Numbers found", unit="short"),
        Column("Value #B", "Last listed", unit="s", steps=_LISTING_LATE, empty="never"),
    )
    text = Text(
        "Discovery by space",
        "How many numbers the last listing of each space held, and how long ago that was. A failed listing changes "
        "nothing.",
        ("CamsDiscoveryFailing", "CamsNumbersVanished"),
    )
    it.add(listing(text, rows(found, age), columns, empty=NO_LISTING, sort="Account"), width=12, height=7)
    files = (
        Column("job", "Job"),
        Column("instance", "Instance"),
        Column("file", "File"),
        Column("Value #A", "State", colours=_FILE),
        Column("Value #B", "In force, last day", unit="percentunit"),
    )
    text = Text(
        "Number files",
        "Whether the numbers that each file now holds are in force. If not, those of its last good list are.",
        ("CamsNumberFileDown",),
    )
    up = of_job(catalogue.NUMBER_FILE_UP.name)
    asked = rows(f"max by ({_FILES}) ({up})", f"max by ({_FILES}) (avg_over_time({up}[1d]))")
    it.add(listing(text, asked, files, empty="number_files is not used", sort="State"), width=12, height=7)
