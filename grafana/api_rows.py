"""The rows of the dashboard "CAMS exporter" that are about requests to the API: budget, errors, latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics import catalogue
from grafana import queries
from grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Text,
    colour_series,
    dash_series,
    graph,
    latency_map,
    over_time,
)
from grafana.queries import of_account

if TYPE_CHECKING:
    from grafana import board

BUSY = ((None, GREEN), (0.9, YELLOW), (1, RED))
ERRORS = ((None, GREEN), (0.01, YELLOW), (0.05, RED))
LATE = ((None, GREEN), (60, YELLOW), (300, RED))
_LEFT = ((None, RED), (0.5, YELLOW), (0.95, GREEN))


def budget(it: board.Board) -> None:
    """How much of the budget is used, and what is left of it."""
    limits = graph(
        Text(
            "Requests against the budget",
            "Requests per second to the API, for all chosen accounts together: sent, allowed by flow control now, and "
            "configured (qps). Replicas are added. Choose one account to compare it with its own limit.",
            ("CamsApiThrottled", "CamsBudgetTooSmall"),
        ),
        over_time(queries.rate(catalogue.REQUESTS, by=""), "sent", "A"),
        over_time(f"sum({of_account(catalogue.EFFECTIVE_QPS)})", "effective", "B"),
        over_time(f"sum({of_account(catalogue.BUDGET_QPS)})", "budget", "C"),
        unit="reqps",
    )
    limits = dash_series(limits, "effective", "budget")
    it.add(colour_series(limits, {"sent": BLUE, "effective": ORANGE, "budget": RED}), width=12, height=8)
    it.add(
        graph(
            Text(
                "Budget used by account",
                "Requests sent as a share of the account's qps.",
                ("CamsBudgetTooSmall",),
            ),
            over_time(queries.budget_used(), "{{account}}"),
            unit="percentunit",
            steps=BUSY,
        ),
        width=12,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Effective rate by account",
                "What is left of the account's qps. It halves when the API throttles. Then it rises by a tenth of qps "
                "for each 10 s without a throttle. If the path has jitter, it stays a little below qps.",
                ("CamsApiThrottled",),
            ),
            over_time(queries.effective_share(), "{{account}}"),
            unit="percentunit",
            steps=_LEFT,
            maximum=1,
        ),
        width=8,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Poll lag by account",
                "How late the most overdue number of the account is; 0 on schedule. If the lag stays, one pass over "
                "all numbers takes longer than the interval.",
                ("CamsBudgetTooSmall",),
            ),
            over_time(f"max by (account) ({of_account(catalogue.ACCOUNT_LAG)})", "{{account}}"),
            unit="s",
            steps=LATE,
        ),
        width=8,
        height=8,
    )
    it.add(
        graph(
            Text(
                "Polls waiting for budget",
                "How many due polls were waiting for a slot of the budget, on average, by account.",
                ("CamsBudgetTooSmall",),
            ),
            over_time(queries.rate(catalogue.BUDGET_WAIT), "{{account}}"),
        ),
        width=8,
        height=8,
    )


def errors(it: board.Board) -> None:
    """Which attempts fail."""
    code = queries.rate(catalogue.ERRORS, by="code")
    it.add(
        graph(
            Text(
                "Errors by code",
                "Failed attempts per second. Codes of the API are shown unchanged. Lower-case codes are the "
                "exporter's own: timeout, connection_error, tls_error, invalid_response, http_NNN, credentials_error, "
                "internal_error.",
                ("CamsApiErrorRatioHigh", "CamsCredentialsFailing", "CamsApiThrottled"),
            ),
            over_time(f"{code} > 0", "{{code}}"),
            unit="reqps",
            stacked=True,
            empty="No errors in this range",
        ),
        width=10,
        height=9,
    )
    it.add(
        graph(
            Text(
                "Failed share by account",
                "The share of attempts, retries included, that failed.",
                ("CamsApiErrorRatioHigh",),
            ),
            over_time(queries.error_ratio(), "{{account}}"),
            unit="percentunit",
            steps=ERRORS,
            maximum=1,
        ),
        width=7,
        height=9,
    )
    it.add(
        graph(
            Text(
                "Retries by account",
                "Requests per second that repeated a poll after a transient failure: at most two per interval "
                "and number.",
                ("CamsApiErrorRatioHigh",),
            ),
            over_time(queries.rate(catalogue.RETRIES), "{{account}}"),
            unit="reqps",
        ),
        width=7,
        height=9,
    )


def latency(it: board.Board) -> None:
    """How long requests take."""
    it.add(
        latency_map(
            Text(
                "Latency of API requests",
                "How many requests took how long. Failures are included; the wait for the budget is not.",
                ("CamsApiErrorRatioHigh",),
            ),
            queries.latency_buckets(),
        ),
        width=12,
        height=9,
    )
    it.add(
        graph(
            Text(
                "Latency quantiles",
                "50 %, 90 % and 99 % of the requests took at most this long, estimated from the buckets. "
                "After api.timeout a request is aborted.",
                ("CamsApiErrorRatioHigh",),
            ),
            *(
                over_time(queries.latency(quantile), f"p{quantile * 100:g}", ref)
                for ref, quantile in zip("ABC", (0.5, 0.9, 0.99), strict=True)
            ),
            unit="s",
        ),
        width=8,
        height=9,
    )
    it.add(
        graph(
            Text("Requests in flight", "API requests in flight, by account."),
            over_time(f"sum by (account) ({of_account(catalogue.IN_FLIGHT)})", "{{account}}"),
        ),
        width=4,
        height=9,
    )
