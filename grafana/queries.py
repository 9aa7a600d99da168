"""The PromQL of the dashboards.  Knows metrics and variables, but no panels.

Three rules hold for all queries.

- **Any number of replicas.**  Two exporters may poll the same numbers, so no result about a number or an account has
  the label `instance`.  A known status of one replica counts more than UNKNOWN of another (it may have restarted): a
  known status is the `max` over the replicas, UNKNOWN the `min`.  Rates and budgets are added: replicas share the
  budget; in a cluster only the holder of an account exposes its budget.
- **Down is not zero.**  A count is 0 only if the exporter says 0.  Without data a panel is empty, never green.
- **Clocks may differ.**  Ages use each exporter's own clock; instants are converted to Prometheus's clock.  If an
  exporter does not expose its clock, Prometheus's clock is assumed.
"""

from __future__ import annotations

from exporter.metrics import catalogue
from exporter.model import EXPIRED, KNOWN_STATUSES, NOT_VERIFIED, UNKNOWN, VERIFIED

OTHER = "other"
"""Stands for every undocumented status.  It is shown, and never counts as VERIFIED."""

SEVERITY = (UNKNOWN, VERIFIED, EXPIRED, OTHER, NOT_VERIFIED)
"""From least to most urgent.  In the state timeline the value of a status is its position, counted from 1."""

NUMBER = ", ".join(catalogue.NUMBER_LABELS)

_JOB = ('job=~"$job"',)
_ACCOUNT = (*_JOB, 'account=~"$account"')
_NUMBER = (*_ACCOUNT, 'cust_space_id=~"$space"', 'phone_number=~"$number"')
_CHOSEN = 'status=~"$status"'
_KNOWN = f'status!="{UNKNOWN}"'
_UNDOCUMENTED = f'status!~"{"|".join(KNOWN_STATUSES)}"'

TIMELINE_NUMBERS = 50
"""Maximum of numbers in the state timeline."""
ANNOTATED_CHANGES = 25
"""Maximum of status changes marked per step: otherwise an account that expires at once would hide the graphs."""


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
    """1 for every chosen number with its status, for any number of replicas; `matchers` narrow both parts."""
    known = of_number(catalogue.STATUS, _KNOWN, *matchers)
    unknown = of_number(catalogue.STATUS, _is(UNKNOWN), *matchers)
    return f"max by ({NUMBER}, status) ({known} == 1)\nor min by ({NUMBER}, status) ({unknown}) == 1"


def numbers_by(*labels: str) -> str:
    """How many chosen numbers have each chosen status, 0 included; `labels` include ``status``.

    Only current statuses are grouped by number, a quarter of the series.  The others are added as 0 at the end.
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
    """Add the number's ``name`` to `expression`, which is per number.  If replicas differ, one name is used."""
    info = of_number(catalogue.INFO)
    return f"({expression})\n* on ({NUMBER}) group_left (name) topk by ({NUMBER}) (1, {info})"


def unhappy() -> str:
    """The chosen numbers whose chosen status is not VERIFIED: 1 for each, with ``status``."""
    return having(f'status!="{VERIFIED}"', _CHOSEN)


def unhappy_since() -> str:
    """When each number of `unhappy` got its status, Unix milliseconds.  UNKNOWN has no such time.

    Of the replicas with this status, the earliest time counts.  A late replica may still have an older status.
    """
    flags = of_number(catalogue.STATUS, f'status!~"{VERIFIED}|{UNKNOWN}"', _CHOSEN)
    change = _on_our_clock(of_number(catalogue.STATUS_CHANGE))
    joined = f"({flags} == 1) * on (job, instance, {NUMBER}) group_left () {change}"
    return f"1000 * min by ({NUMBER}) ({joined})"


def answer_age() -> str:
    """Seconds since any replica got a status of each chosen number; no value before the first."""
    success = of_number(catalogue.LAST_SUCCESS)
    told = each_exporter(catalogue.TIME.name)
    clock = f"({told} or on (job, instance) 0 * max by (job, instance) ({success}) + time())"
    return f"min by ({NUMBER}) ({clock} - on (job, instance) group_right () {success})"


def last_poll() -> str:
    """1 if any replica's last poll of a chosen number succeeded, else 0."""
    return f"max by ({NUMBER}) ({of_number(catalogue.LAST_POLL_SUCCESS)})"


def stale(comparison: str = ">") -> str:
    """The age of each answer that is older than three intervals and the lag of the account."""
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

    Numbers and names are chosen once, at the end of the range.  So a line exists for the whole range, and each step
    joins few series.  Only numbers that had a chosen status in the range are used.  VERIFIED, the largest set, is last.
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
    """1 for each number whose known status now differs from its known status one step ago.

    A change from or to UNKNOWN, as in a restart or an outage, does not count.
    """
    now = f"{of_number(catalogue.STATUS, _KNOWN, _CHOSEN)} == 1"
    before = f"{of_number(catalogue.STATUS, _KNOWN)} offset $__interval == 1"
    new = f"({now})\nunless on ({NUMBER}, status) ({before})\nand on ({NUMBER}) ({before})"
    return named(f"topk({ANNOTATED_CHANGES}, max by ({NUMBER}, status) ({new}))")


def loads() -> str:
    """When each exporter last loaded its configuration, Unix milliseconds."""
    return f"1000 * {_on_our_clock(each_exporter(catalogue.RELOAD_TIMESTAMP.name))}"


def rate(metric: catalogue.Metric, *matchers: str, by: str = "account", suffix: str = "") -> str:
    """The increase per second of a counter of the chosen accounts, summed by `by`; if that is empty, over all."""
    return f"sum by ({by}) (rate({of_account(metric, *matchers, suffix=suffix)}[$__rate_interval]))"


def budget_used() -> str:
    """Requests sent as a share of each account's budget."""
    return f"{rate(catalogue.REQUESTS)}\n/ sum by (account) ({of_account(catalogue.BUDGET_QPS)})"


def effective_share() -> str:
    """The share of each account's budget that flow control leaves, 0 to 1."""
    effective = f"sum by (account) ({of_account(catalogue.EFFECTIVE_QPS)})"
    return f"{effective}\n/ sum by (account) ({of_account(catalogue.BUDGET_QPS)})"


def error_ratio(by: str = "account") -> str:
    """The share of attempts that failed.  An attempt without a credential was not sent, but counts."""
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
    """The series `name` of each scrape target of the chosen jobs, with the labels job and instance only."""
    return f"max by (job, instance) ({of_job(name)})"


def pass_seconds() -> str:
    """Seconds for one pass: polling every number of an account once at its budget."""
    configured = f"max by (account) ({of_account(catalogue.ACCOUNT_NUMBERS)})"
    return f"{configured}\n/ max by (account) ({of_account(catalogue.BUDGET_QPS)})"


def _on_our_clock(stamps: str) -> str:
    """`stamps` of exporters, converted to Prometheus's clock by whole minutes, so that a mark stays in its place."""
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
