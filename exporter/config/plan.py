"""What `--config.check` prints: each account's budget plan, the number files, then the warnings.  It does not print."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.config.durations import approximately, format_duration
from exporter.config.settings import AccountConfig, ClusterConfig, Config, DiscoverConfig
from exporter.config.strict_yaml import show
from exporter.config.times import Times
from exporter.model import spare_qps

_FILE_HEADER = ("number file", "account", "numbers")
_HEADER = ("account", "numbers", "qps", "quota", "pace", "one pass", "each number", "stale after")
_CLUSTER_HEADER = ("account", "at most, in each replica", "one pass then")
_MORE_HEADER = ("account", "listing", "each space", "health of each number", "listing and health", "room for")


def plan(config: Config) -> str:
    """The plan, as text of several lines, without a line break at the end."""
    endpoints = list(dict.fromkeys(map(_endpoint, config.accounts)))
    rows = [_HEADER, *(_row(account, account.times()) for account in config.accounts)]
    if len(endpoints) > 1:
        rows = [
            (*rows[0], "endpoint"),
            *((*row, _endpoint(of)) for row, of in zip(rows[1:], config.accounts, strict=True)),
        ]
    accounts = _counted(len(config.accounts), "account")
    numbers = _counted(sum(len(account.numbers) for account in config.accounts), "number")
    if any(account.discover for account in config.accounts):
        numbers += " and those that discovery finds"
    every = (
        f"asked every {_intervals(config)} at {endpoints[0] if len(endpoints) == 1 else f'{len(endpoints)} endpoints'}"
    )
    summary = f"{config.path or 'configuration'}: valid: {accounts}, {numbers}, {every}"
    lines = [summary, "", *_table(rows)]
    if more := [account for account in config.accounts if account.discover or account.health]:
        lines += ["", *_table([_MORE_HEADER, *(_more(account, account.times()) for account in more)])]
    if unknown := [_unknown(account, account.discover) for account in more if account.discover]:
        lines += ["", *unknown]
    if config.cluster is not None:
        lines += ["", *_cluster(config, config.cluster)]
    if files := [
        (of.file, _shown(account), str(len(of.lines))) for account in config.accounts for of in account.lists[1:]
    ]:
        lines += ["", *_table([_FILE_HEADER, *files])]
    if config.warnings:
        lines += ["", *(f"warning: {warning}" for warning in config.warnings)]
    return "\n".join(lines)


def _endpoint(account: AccountConfig) -> str:
    return account.api.written_endpoint or account.api.endpoint


def _intervals(config: Config) -> str:
    """The interval of all accounts, or the shortest and the longest."""
    seconds = [account.scrape_interval_seconds for account in config.accounts]
    return " to ".join(dict.fromkeys(map(format_duration, (min(seconds), max(seconds)))))


def _row(account: AccountConfig, times: Times) -> tuple[str, ...]:
    return (
        _shown(account),
        str(len(account.numbers)),
        f"{account.qps:g}",
        f"{account.quota:g}",
        f"{account.pace_qps:.4g}/s",
        approximately(times.pass_seconds),
        _every(times.poll_seconds, account.scrape_interval_seconds),
        format_duration(account.stale_after_seconds),
    )


def _more(account: AccountConfig, times: Times) -> tuple[str, ...]:
    """The row of an account with `discover` or `health`."""
    discover, health = account.discover, account.health
    spaces = (
        "none" if discover is None else "all spaces" if discover.spaces is None else _counted(times.spaces, "space")
    )
    return (
        _shown(account),
        spaces,
        _every(times.refresh_seconds, discover.refresh_interval_seconds if discover else None),
        _every(times.health_seconds, health.interval_seconds if health else None),
        f"{times.shares.listing + times.shares.health:.3g}/s",
        _counted(account.room(), "number"),
    )


def _every(seconds: float | None, wanted: float | None) -> str:
    if seconds is None or wanted is None:
        return "none"
    every = f"every {approximately(seconds)}"
    return every if seconds <= wanted else f"{every}, does not fit {format_duration(wanted)}"


def _unknown(account: AccountConfig, discover: DiscoverConfig) -> str:
    """What the plan cannot know of an account that finds its numbers."""
    what = "the numbers" if discover.spaces else "the spaces and numbers"
    times = account.times(len(account.numbers) + discover.max_numbers)
    each = f"each is polled every {approximately(times.poll_seconds)}"
    if times.health_seconds is not None:
        each += f" and checked every {approximately(times.health_seconds)}"
    return (
        f"account {_shown(account)}: {what} that discovery finds are not counted, because the check sends no request; "
        f"with {_counted(discover.max_numbers, 'more number')} (max_numbers) {each}"
    )


def _cluster(config: Config, cluster: ClusterConfig) -> list[str]:
    """How the replicas share the accounts, and how each account is polled while their store is away."""
    lease = format_duration(cluster.lease_seconds)
    lines = [f"cluster: at most {_counted(cluster.replicas, 'replica')}, a lease of {lease}"]
    if cluster.stops_without_store:
        return [*lines, "while the store is away nothing is polled (without_store: stop)"]
    rows = [_CLUSTER_HEADER]
    for account in config.accounts:
        spare = spare_qps(account.qps, account.quota, cluster.replicas)
        one_pass = approximately(len(account.numbers) / spare) if spare else "never"
        rows.append((_shown(account), f"{spare}/s", one_pass))
    return [
        *lines,
        "while the store is away each replica polls each account at this rate:",
        *_table(rows),
    ]


def _shown(account: AccountConfig) -> str:
    return show(account.name)[1:-1]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
