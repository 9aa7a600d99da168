"""The PromQL of the dashboards.  Knows metrics and variables, nothing of panels.

Three rules hold throughout.

- **Any number of replicas.**  Two exporters may poll the same numbers, so nothing about a number or an account keeps
  `instance`.  What one replica knows outranks another's UNKNOWN, as after a restart: a known status is the `max` over
  the replicas, UNKNOWN their `min`.  Rates and budgets add up: replicas share an account's budget.
- **Down is not zero.**  A count is 0 only where the exporter says so; without data a panel is empty, never green.
- **A time stamp is read by the clock that wrote it.**  Ages are taken from each exporter's own clock, instants are
  moved to Prometheus's; an exporter that does not tell its clock is taken to have Prometheus's.
"""

from __future__ import annotations

from exporter.metrics import catalogue
from exporter.model import EXPIRED, KNOWN_STATUSES, NOT_VERIFIED, UNKNOWN, VERIFIED

OTHER = "other"
"""Stands for every status but those documented: shown, and never taken for VERIFIED."""

SEVERITY = (UNKNOWN, VERIFIED, EXPIRED, OTHER, NOT_VERIFIED)
"""From least to most to be acted on; the position from 1 is a status as a number, in the state timeline."""

NUMBER = ", ".join(catalogue.NUMBER_LABELS)

_JOB = ('job=~"$job"',)
_ACCOUNT = (*_JOB, 'account=~"$account"')
_NUMBER = (*_ACCOUNT, 'cust_space_id=~"$space"', 'phone_number=~"$number"')
_CHOSEN = 'status=~"$status"'
_KNOWN = f'status!="{UNKNOWN}"'
_UNDOCUMENTED = f'status!~"{"|".join(KNOWN_STATUSES)}"'

TIMELINE_NUMBERS = 50
"""Most numbers in the state timeline."""
ANNOTATED_CHANGES = 25
"""Most status changes marked per step: a whole account that expires at once would bury the graphs."""


def of_job(name: str, *matchers: str) -> str:
    """The series `name` of the chosen jobs."""
    return _selector(name, *_JOB, *matchers)


def of_account(metric: catalogue.Metric, *matchers: str, suffix: str = "") -> str:
    """The series of `metric` of the chosen accounts; `suffix` is a histogram's ``_bucket``."""
    return _selector(metric.name + suffix, *_ACCOUNT, *matchers)


def of_number(metric: catalogue.Metric, *matchers: str) -> str:
    """The series of `metric` of the chosen numbers."""
    return _selector(metric.name, *_NUMBER, *matchers)


def having(*matchers: str) -> str:
    """1 for every chosen number with the status it has, whatever the number of replicas; `matchers` narrow both."""
    known = of_number(catalogue.STATUS, _KNOWN, *matchers)
    unknown = of_number(catalogue.STATUS, _is(UNKNOWN), *matchers)
    return f"max by ({NUMBER}, status) ({known} == 1)\nor min by ({NUMBER}, status) ({unknown}) == 1"


def numbers_by(*labels: str) -> str:
    """How many chosen numbers have each chosen status, 0 included; `labels` include ``status``.

    Only the statuses that hold are grouped by number, a quarter of the series; the others are added as 0 at the end.
    """
    by = ", ".join(labels)
    known = f"max by ({NUMBER}, status) ({of_number(catalogue.STATUS, _KNOWN, _CHOSEN)} == 1)"
    unknown = f"min by ({NUMBER}, status) ({of_number(catalogue.STATUS, _is(UNKNOWN), _CHOSEN)})"
    none = f"0 * sum by ({by}) ({of_number(catalogue.STATUS, _CHOSEN)})"
    return f"sum by ({by}) ({known})\nor sum by ({by}) ({unknown})\nor {none}"


def numbers() -> str:
    """How many numbers are chosen."""
    return f"count({_unknown_flags()})"


def numbers_with(status: str) -> str:
    """How many chosen numbers have `status`, one of SEVERITY."""
    if status == UNKNOWN:
        return f"sum({_unknown_flags()})"
    if status == OTHER:
        return f"sum({_flags(_UNDOCUMENTED)}) or 0 * sum({_unknown_flags()})"
    return f"sum({_flags(_is(status))})"


def verified_share() -> str:
    """The share of an account's chosen numbers that are VERIFIED, 0 to 1; UNKNOWN counts as not."""
    verified = _flags(_is(VERIFIED))
    return f"sum by (account) ({verified})\n/ count by (account) ({_unknown_flags()})"


def named(expression: str) -> str:
    """`expression`, which is per number, with the number's ``name``; takes one name where replicas differ."""
    info = of_number(catalogue.INFO)
    return f"({expression})\n* on ({NUMBER}) group_left (name) topk by ({NUMBER}) (1, {info})"


def unhappy() -> str:
    """The chosen numbers whose chosen status is not VERIFIED: 1 for each, with ``status``."""
    return having(f'status!="{VERIFIED}"', _CHOSEN)


def unhappy_since() -> str:
    """When each number of `unhappy` got its status, Unix milliseconds; nothing for UNKNOWN, which is no status.

    The earliest time of the replicas that give this status: one that lags behind remembers an older change.
    """
    flags = of_number(catalogue.STATUS, f'status!~"{VERIFIED}|{UNKNOWN}"', _CHOSEN)
    change = _on_our_clock(of_number(catalogue.STATUS_CHANGE))
    joined = f"({flags} == 1) * on (job, instance, {NUMBER}) group_left () {change}"
    return f"1000 * min by ({NUMBER}) ({joined})"


def answer_age() -> str:
    """Seconds since any replica got a status of each chosen number; nothing before the first."""
    success = of_number(catalogue.LAST_SUCCESS)
    told = each_exporter(catalogue.TIME.name)
    clock = f"({told} or on (job, instance) 0 * max by (job, instance) ({success}) + time())"
    return f"min by ({NUMBER}) ({clock} - on (job, instance) group_right () {success})"


def last_poll() -> str:
    """1 if any replica's last poll of a chosen number brought a status, else 0."""
    return f"max by ({NUMBER}) ({of_number(catalogue.LAST_POLL_SUCCESS)})"


def stale(comparison: str = ">") -> str:
    """The age of each answer that three polls on schedule should have renewed; lateness of the account is allowed."""
    interval, lag = of_account(catalogue.ACCOUNT_INTERVAL), of_account(catalogue.ACCOUNT_LAG)
    return f"{answer_age()}\n{comparison} on (account) group_left () max by (account) (3 * {interval} + {lag})"


def stale_or_failing() -> str:
    """A series for each chosen number that is stale or whose last poll failed."""
    return f"{last_poll()} == 0\nor ({stale('> bool')}) == 1"


def only(expression: str, chosen: str) -> str:
    """The series of `expression` about the numbers that `chosen` is about."""
    return f"({expression})\nand on ({NUMBER}) ({chosen})"


def timeline() -> str:
    """Each number's status as its place in SEVERITY, for the numbers that were least VERIFIED over the range.

    Numbers and names are chosen once, at the end of the range: lines don't come and go, and each step joins with few
    series.  Only numbers that had a chosen status in the range take part.  VERIFIED, the largest, is united last.
    """
    window = "[$__range:$__interval] @ end()"
    verified = f"avg_over_time({of_number(catalogue.STATUS, _is(VERIFIED))}{window})"
    chosen = f"max_over_time({of_number(catalogue.STATUS, _CHOSEN)}{window}) == 1"
    worst = f"topk({TIMELINE_NUMBERS}, 1 - max by ({NUMBER}) ({verified})\nand on ({NUMBER}) ({chosen}))"
    names = f"topk by ({NUMBER}) (1, last_over_time({of_number(catalogue.INFO)}{window}))"
    lines = f"(({worst})\n* on ({NUMBER}) group_left (name) {names}) >= bool 0"
    codes = "\nor ".join(
        f"{SEVERITY.index(status) + 1} * ({of_number(catalogue.STATUS, _is(status))} == 1)"
        for status in (*(status for status in SEVERITY if status != VERIFIED), VERIFIED)
    )
    return f"max by ({NUMBER}, name) (({codes})\n* on ({NUMBER}) group_left (name) ({lines}))"


def status_changes() -> str:
    """1 for each number and known status it has now and did not have one step ago, when it had another known one.

    A restart or an outage passes through UNKNOWN, and is no change.
    """
    now = f"{of_number(catalogue.STATUS, _KNOWN, _CHOSEN)} == 1"
    before = f"{of_number(catalogue.STATUS, _KNOWN)} offset $__interval == 1"
    new = f"({now})\nunless on ({NUMBER}, status) ({before})\nand on ({NUMBER}) ({before})"
    return named(f"topk({ANNOTATED_CHANGES}, max by ({NUMBER}, status) ({new}))")


def loads() -> str:
    """When each exporter last loaded its configuration, Unix milliseconds."""
    return f"1000 * {_on_our_clock(each_exporter(catalogue.RELOAD_TIMESTAMP.name))}"


def rate(metric: catalogue.Metric, *matchers: str, by: str = "account", suffix: str = "") -> str:
    """The increase per second of a counter of the chosen accounts, summed by `by`; all together if that is empty."""
    return f"sum by ({by}) (rate({of_account(metric, *matchers, suffix=suffix)}[$__rate_interval]))"


def budget_used() -> str:
    """Requests sent as a share of each account's budget."""
    return f"{rate(catalogue.REQUESTS)}\n/ sum by (account) ({of_account(catalogue.BUDGET_QPS)})"


def effective_share() -> str:
    """What flow control leaves of each account's budget, 0 to 1."""
    effective = f"sum by (account) ({of_account(catalogue.EFFECTIVE_QPS)})"
    return f"{effective}\n/ sum by (account) ({of_account(catalogue.BUDGET_QPS)})"


def error_ratio(by: str = "account") -> str:
    """The share of attempts that failed; an attempt that had no credential was not sent, and counts as one."""
    unsent = rate(catalogue.ERRORS, 'code="credentials_error"', by=by)
    return f"{rate(catalogue.ERRORS, by=by)}\n/ ({rate(catalogue.REQUESTS, by=by)} + {unsent})"


def latency_buckets() -> str:
    """How many of the chosen accounts' requests took up to ``le`` seconds, in each step."""
    buckets = of_account(catalogue.DURATION, suffix="_bucket")
    return f"sum by (le) (increase({buckets}[$__rate_interval]))"


def latency(quantile: float) -> str:
    """A quantile of the duration of the chosen accounts' requests, seconds."""
    return f"histogram_quantile({quantile:g}, {rate(catalogue.DURATION, by='le', suffix='_bucket')})"


def each_exporter(name: str) -> str:
    """The series `name` of each scrape target of the chosen jobs, and no label but job and instance."""
    return f"max by (job, instance) ({of_job(name)})"


def pass_seconds() -> str:
    """How long polling every number of an account once takes at its budget, seconds."""
    configured = f"max by (account) ({of_account(catalogue.ACCOUNT_NUMBERS)})"
    return f"{configured}\n/ max by (account) ({of_account(catalogue.BUDGET_QPS)})"


def _on_our_clock(stamps: str) -> str:
    """`stamps` of exporters on Prometheus's clock; moved by whole minutes, so that a mark keeps its place."""
    told = of_job(catalogue.TIME.name)
    offset = f"round(max by (job, instance) (timestamp({told}) - {told}), 60)"
    none = f"0 * max by (job, instance) ({stamps})"
    return f"({stamps} + on (job, instance) group_left () ({offset} or on (job, instance) {none}))"


def _unknown_flags() -> str:
    return f"min by ({NUMBER}) ({of_number(catalogue.STATUS, _is(UNKNOWN))})"


def _flags(matcher: str) -> str:
    return f"max by ({NUMBER}) ({of_number(catalogue.STATUS, matcher)})"


def _is(status: str) -> str:
    return _UNDOCUMENTED if status == OTHER else f'status="{status}"'


def _selector(name: str, *matchers: str) -> str:
    return f"{name}{{{', '.join(matchers)}}}"
