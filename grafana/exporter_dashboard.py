"""The dashboard "CAMS exporter": budget, errors, latency, poll lag, accounts and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.metrics import catalogue
from grafana import api_rows, board, cluster_rows, operation_rows, queries
from grafana.panels import (
    BAD_IF_ANY,
    GREEN,
    GREY,
    RED,
    Text,
    colour_series,
    dash_series,
    graph,
    now,
    over_time,
    single,
    states,
)
from grafana.queries import each_exporter, of_account, of_job
from grafana.tables import Column, listing, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.models import dashboard

TITLE = "CAMS exporter"

_ACCOUNT_STATE = {"1": ("OK", GREEN), "0": ("refused", RED)}
_LOAD = {"1": ("OK", GREEN), "0": ("refused", RED)}
_INSTANCE = "job, instance"


def build() -> dashboard.Dashboard:
    """The dashboard, ready to be written."""
    it = board.Board(
        board.EXPORTER_UID,
        TITLE,
        "How the exporter of WhatsApp number verification status works: API budget, errors, latency, process.",
        since="6h",
    )
    it.row("Now")
    _summary(it)
    it.row("API budget")
    api_rows.budget(it)
    it.row("Errors")
    api_rows.errors(it)
    it.row("Latency")
    api_rows.latency(it)
    it.row("Accounts")
    _accounts(it)
    it.row("Operations")
    operation_rows.operations(it)
    it.row("Discovery and number files")
    operation_rows.discovery(it)
    it.row("Cluster")
    cluster_rows.cluster(it)
    it.row("Processes")
    _processes(it)
    return it.build(board.account_variables(), board.links(board.NUMBERS_UID, "CAMS numbers"), board.marks()[:1])


def _summary(it: board.Board) -> None:
    up = of_job("up")
    stats = (
        (
            Text(
                "Exporters down",
                "Scrape targets of the chosen jobs that Prometheus could not scrape.",
                ("CamsExporterDown", "CamsExporterAbsent"),
            ),
            f"count({up}) - sum({up})",
            "short",
            BAD_IF_ANY,
        ),
        (
            Text(
                "Accounts refused",
                "Accounts that the API refuses as a whole: key, subscription or clock, or permission for every space.",
                ("CamsAccountRefused", "CamsCredentialsFailing"),
            ),
            f"sum(1 - min by (account) ({of_account(catalogue.ACCOUNT_UP)}))",
            "short",
            BAD_IF_ANY,
        ),
        (
            Text(
                "Reloads refused",
                "Exporters that refused their last configuration and still run with the one before.",
                ("CamsExporterConfigReloadFailed",),
            ),
            f"sum(1 - min by ({_INSTANCE}) ({of_job(catalogue.RELOAD_SUCCESSFUL.name)}))",
            "short",
            BAD_IF_ANY,
        ),
        (
            Text(
                "Attempts failed",
                "The share of attempts, retries included, that failed, over all chosen accounts.",
                ("CamsApiErrorRatioHigh",),
            ),
            queries.error_ratio(by=""),
            "percentunit",
            api_rows.ERRORS,
        ),
        (
            Text(
                "Budget used, most of any account",
                "Requests sent as a share of qps, for the account with the largest share. At 100 % one pass over all "
                "numbers may take longer than the interval.",
                ("CamsBudgetTooSmall",),
            ),
            f"max({queries.budget_used()})",
            "percentunit",
            api_rows.BUSY,
        ),
        (
            Text(
                "Lag, most of any account",
                "How late the most overdue number is.",
                ("CamsBudgetTooSmall",),
            ),
            f"max({of_account(catalogue.ACCOUNT_LAG)})",
            "s",
            api_rows.LATE,
        ),
    )
    for text, query, unit, steps in stats:
        decimals = 1 if unit == "percentunit" else 0
        it.add(single(text, now(query), unit=unit, steps=steps, decimals=decimals), width=4, height=4)


def _accounts(it: board.Board) -> None:
    state = f"min by (account) ({of_account(catalogue.ACCOUNT_UP)})"
    spaces = f"min by (account, cust_space_id) ({of_account(catalogue.SPACE_UP)})"
    it.add(
        states(
            Text(
                "Account state",
                "Refused: the API refuses the whole account, on at least one replica. The account is then probed once "
                "per interval until it is accepted again.",
                ("CamsAccountRefused",),
            ),
            over_time(state, "{{account}}"),
            {int(value): meaning for value, meaning in _ACCOUNT_STATE.items()},
            per_page=12,
        ),
        width=10,
        height=9,
    )
    columns = (
        Column("account", "Account"),
        Column("Value #A", "State", colours=_ACCOUNT_STATE),
        Column("Value #B", "Spaces refused", unit="short", steps=BAD_IF_ANY),
        Column("Value #C", "Numbers", unit="short"),
        Column("Value #D", "Interval", unit="s"),
        Column("Value #E", "One pass takes", unit="s"),
        Column("Value #F", "Budget", unit="reqps"),
        Column("Value #G", "Effective", unit="reqps"),
        Column("Value #H", "Lag", unit="s", steps=api_rows.LATE),
    )
    text = Text(
        "Accounts",
        "One pass takes: the time to poll every number of the account once at its qps. If that is longer than the "
        "interval, polling is continuous and all numbers are equally late. Budget and effective rate are sums over "
        "replicas.",
        ("CamsAccountRefused", "CamsSpaceRefused", "CamsBudgetTooSmall"),
    )
    asked = rows(
        state,
        f"sum by (account) (1 - {spaces})",
        f"max by (account) ({of_account(catalogue.ACCOUNT_NUMBERS)})",
        f"max by (account) ({of_account(catalogue.ACCOUNT_INTERVAL)})",
        queries.pass_seconds(),
        f"sum by (account) ({of_account(catalogue.BUDGET_QPS)})",
        f"sum by (account) ({of_account(catalogue.EFFECTIVE_QPS)})",
        f"max by (account) ({of_account(catalogue.ACCOUNT_LAG)})",
    )
    it.add(listing(text, asked, columns, empty="no data", sort="Account"), width=14, height=9)
    text = Text(
        "Refused spaces",
        "Spaces in which every number is forbidden, on at least one replica. The numbers are then probed in turn "
        "until one is accepted.",
        ("CamsSpaceRefused",),
    )
    columns_of_spaces = (
        Column("account", "Account"),
        Column("cust_space_id", "Space"),
        Column("Value #A", "State", colours={"0": ("refused", RED)}),
        Column("Value #B", "Numbers", unit="short"),
    )
    refused = f"{spaces} == 0"
    polled = f"count by (account, cust_space_id) (group by ({queries.NUMBER}) ({of_account(catalogue.INFO)}))"
    asked = rows(refused, f"{polled} and on (account, cust_space_id) {refused}")
    it.add(listing(text, asked, columns_of_spaces, empty="none", sort="Account"), width=24, height=5)


def _processes(it: board.Board) -> None:
    columns = (
        Column("job", "Job"),
        Column("instance", "Instance"),
        Column("Value #A", "Scrape", colours={"1": ("up", GREEN), "0": ("down", RED)}),
        Column("Value #B", "Scrape took", unit="s"),
        Column("Value #C", "Started", unit="dateTimeFromNow"),
        Column("Value #D", "Last reload", colours=_LOAD),
        Column("Value #E", "Configuration of", unit="dateTimeFromNow"),
        Column("version", "Version"),
        Column("revision", "Revision"),
        Column("python_version", "Python"),
    )
    text = Text(
        "Exporters",
        "All scrape targets of the chosen jobs. Configuration of: when the configuration in force was loaded.",
        ("CamsExporterDown", "CamsExporterConfigReloadFailed"),
    )
    asked = rows(
        each_exporter("up"),
        each_exporter("scrape_duration_seconds"),
        f"1000 * {each_exporter('process_start_time_seconds')}",
        each_exporter(catalogue.RELOAD_SUCCESSFUL.name),
        queries.loads(),
        f"max by ({_INSTANCE}, version, revision, python_version) ({of_job(catalogue.BUILD_INFO.name)})",
    )
    it.add(listing(text, asked, columns, empty="no data", sort="Instance"), width=24, height=6)
    it.add(
        graph(
            Text("CPU", "Cores used by each exporter: 1 is one core."),
            over_time(
                f"sum by ({_INSTANCE}) (rate({of_job('process_cpu_seconds_total')}[$__rate_interval]))",
                "{{instance}}",
            ),
            unit="short",
        ),
        width=6,
        height=8,
    )
    it.add(
        graph(
            Text("Memory", "Resident memory of each exporter."),
            over_time(each_exporter("process_resident_memory_bytes"), "{{instance}}"),
            unit="bytes",
        ),
        width=6,
        height=8,
    )
    descriptors = graph(
        Text("File descriptors", "Open files and sockets of each exporter, and the lowest limit of any."),
        over_time(each_exporter("process_open_fds"), "{{instance}}", "A"),
        over_time(f"min({of_job('process_max_fds')})", "limit", "B"),
    )
    it.add(colour_series(dash_series(descriptors, "limit"), {"limit": GREY}), width=6, height=8)
    it.add(
        graph(
            Text("Scrape duration", "How long Prometheus's scrapes of each exporter took."),
            over_time(each_exporter("scrape_duration_seconds"), "{{instance}}"),
            unit="s",
        ),
        width=6,
        height=8,
    )
    refused = of_job(catalogue.REFUSED_CONNECTIONS.name)
    it.add(
        graph(
            Text(
                "Connections refused",
                "Connections that an exporter refused (TLS, client certificate, web configuration, too many) or cut so "
                "that another one had a place (evicted), by reason. The exporter's log names the address.",
            ),
            over_time(f"sum by (reason) (rate({refused}[$__rate_interval])) > 0", "{{reason}}"),
            unit="cps",
        ),
        width=24,
        height=6,
    )
