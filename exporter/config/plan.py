"""What `--config.check` prints: each account's budget plan, the number files, then the warnings.  It does not print."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.config.durations import format_duration
from exporter.config.settings import AccountConfig, Config
from exporter.config.strict_yaml import show
from exporter.config.times import Times

_FILE_HEADER = ("number file", "account", "numbers")
_HEADER = ("account", "numbers", "qps", "quota", "pace", "one pass", "each number", "stale after")


def plan(config: Config) -> str:
    """The plan, as text of several lines, without a line break at the end."""
    interval = config.scrape_interval_seconds
    rows = [_HEADER, *(_row(account, config.times(account), interval) for account in config.accounts)]
    accounts = _counted(len(config.accounts), "account")
    numbers = _counted(sum(len(account.numbers) for account in config.accounts), "number")
    every = f"asked every {format_duration(interval)} at {config.api.endpoint}"
    summary = f"{config.path or 'configuration'}: valid: {accounts}, {numbers}, {every}"
    lines = [summary, "", *_table(rows)]
    if files := [
        (of.file, _shown(account), str(len(of.lines))) for account in config.accounts for of in account.lists[1:]
    ]:
        lines += ["", *_table([_FILE_HEADER, *files])]
    if config.warnings:
        lines += ["", *(f"warning: {warning}" for warning in config.warnings)]
    return "\n".join(lines)


def approximately(seconds: float) -> str:
    """A duration for people: milliseconds below 10 s, tenths of a second below a minute, else whole seconds."""
    digits = 3 if seconds < 10 else 1 if seconds < 60 else 0
    return format_duration(round(seconds, digits))


def _row(account: AccountConfig, times: Times, interval_seconds: float) -> tuple[str, ...]:
    fits = times.poll_seconds <= interval_seconds
    every = approximately(times.poll_seconds)
    return (
        _shown(account),
        str(len(account.numbers)),
        f"{account.qps:g}",
        f"{account.quota:g}",
        f"{account.pace_qps:.4g}/s",
        approximately(times.pass_seconds),
        f"every {every}" if fits else f"every {every}, does not fit {format_duration(interval_seconds)}",
        format_duration(account.stale_after_seconds),
    )


def _shown(account: AccountConfig) -> str:
    return show(account.name)[1:-1]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
