"""The status page for scripts: the same numbers, filters, order and pages, as JSON.  Pure.

`docs/numbers.schema.json` says what each field means.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exporter.cams.error_codes import advice
from exporter.model import AccountStatus, ClusterStatus, Refused
from exporter.state.store import LastError, Snapshot
from exporter.web import routes
from exporter.web.ui import health_errors
from exporter.web.ui.accounts import AccountRow, Fault, Faults, shares
from exporter.web.ui.entries import NOT_KNOWN, Entry
from exporter.web.ui.filters import CHOICES, FORMAT, Query
from exporter.web.ui.filters import Fault as BadParameter
from exporter.web.ui.formatting import iso
from exporter.web.ui.judgement import Level, troubles
from exporter.web.ui.listing import NextPolls, Selection
from exporter.web.ui.views import DOCS, RUNBOOKS, Page, Site

CONTENT_TYPE = "application/json"
JSON = "json"

SCHEMA = f"{DOCS}numbers.schema.json"

Object = dict[str, Any]


def numbers_json(
    site: Site,
    query: Query,
    view: tuple[Snapshot, Sequence[AccountStatus]],
    next_polls: NextPolls,
    now_unix: float,
    cluster: ClusterStatus | None = None,
) -> Page:
    """The page of `query` as JSON.  A page beyond the last one has no numbers."""
    snapshot, accounts = view
    chosen = Selection.of(query, snapshot, accounts, next_polls)
    found, counts = chosen.listing, chosen.counts
    is_there = query.page <= found.pages
    moment = _Moment(snapshot, {account.account: account for account in accounts}, now_unix)
    content = {
        "schema": SCHEMA,
        "exporter_version": site.info.version,
        "is_simulated": site.info.demo,
        "at": iso(now_unix),
        "total": found.total,
        "matching": found.found,
        "page": query.page,
        "pages": found.pages,
        "next": _address(query, query.page + 1) if query.page < found.pages else None,
        "previous": _address(query, min(query.page - 1, found.pages)) if query.page > 1 else None,
        "values_of_no_number": chosen.foreign,
        "counts": {
            "failing": counts.failing,
            "level": {level.name.lower(): counts.levels[level] for level in Level},
            **{name: {value: counts.by[name][value] for value in counts.values(name)} for name in CHOICES},
        },
        "accounts": [moment.account(account, counts.of(account.account)) for account in accounts],
        "cluster": None if cluster is None else _cluster(cluster, accounts),
        "numbers": [moment.number(entry, found.next_polls) for entry in found.entries] if is_there else [],
    }
    return _page(content)


def bad_parameters(faults: Iterable[BadParameter]) -> Page:
    """The answer to parameters that are not understood."""
    errors = [{"parameter": fault.name, "value": fault.value, "message": fault.cure} for fault in faults]
    return _page({"errors": errors}, 400)


class _Moment:
    """Turns numbers and accounts into objects, as of `now_unix`."""

    def __init__(self, snapshot: Snapshot, accounts: Mapping[str, AccountStatus], now_unix: float) -> None:
        self._snapshot = snapshot
        self._accounts = accounts
        self._now_unix = now_unix

    def number(self, entry: Entry, next_polls: Mapping[Any, float | None]) -> Object:
        """One number."""
        record, facts = entry.record, entry.facts
        known = record.number
        found = troubles(facts)
        return {
            "account": known.account,
            "cust_space_id": known.cust_space_id,
            "phone_number": known.label,
            "name": known.name,
            "labels": dict(known.labels),
            "source": entry.source or None,
            "phone_number_id": record.phone_number_id or None,
            "level": (found[0].level if found else Level.NONE).name.lower(),
            "troubles": [
                {
                    "level": trouble.level.name.lower(),
                    "text": trouble.said_of(facts),
                    "action": trouble.cure,
                    "runbook": f"{RUNBOOKS}{trouble.runbook}.md",
                }
                for trouble in found
            ],
            "status": entry.status,
            "last_status": record.status or None,
            "status_since": self._past(record.status_since_unix),
            "last_poll": self._past(record.last_poll_unix),
            "last_poll_success": record.last_poll_success,
            "last_success": self._past(record.success_unix),
            "last_error": self._error(record.last_error),
            "next_poll": self._next(next_polls.get(known.key), known.account, known.cust_space_id),
            "can_send": self._can_send(entry),
            "listing": self._listing(entry),
        }

    def account(self, account: AccountStatus, statuses: Mapping[str, int]) -> Object:
        """One account."""
        row = AccountRow.of(account)
        is_elsewhere = account.is_polled is False
        return {
            "account": account.account,
            "up": account.up,
            "refused": None if account.refused is None else _why(account.refused, advice(account.refused.code)),
            "phone_numbers": account.phone_numbers,
            "statuses": dict(statuses),
            "scrape_interval_seconds": account.scrape_interval_seconds,
            "health_interval_seconds": account.health_seconds,
            "lag_seconds": round(account.lag_seconds, 3),
            "budget_qps": account.budget_qps,
            "effective_qps": None if is_elsewhere else round(account.effective_qps, 3),
            "is_throttled": None if is_elsewhere else account.slowed,
            "in_flight": None if is_elsewhere else account.in_flight,
            "replica": account.holder or None,
            "is_polled_here": account.is_polled,
            "spaces": len(account.spaces),
            "refused_spaces": _faults(row.refused_spaces),
            "failing_operations": [_fault(fault) for fault in row.operations],
            "discovery": None
            if row.discovered is None
            else {
                "found": row.discovered.numbers,
                "left_out": row.discovered.left_out,
                "spaces": row.discovered.spaces,
                "listed_spaces": row.discovered.listed,
                "oldest_listing": self._past(row.discovered.oldest_unix),
                "failed_spaces": _faults(row.discovered.failed),
            },
        }

    def _past(self, unix: float | None) -> Object | None:
        """An instant in the past, and its age."""
        if unix is None or not iso(unix):
            return None
        return {"at": iso(unix), "age_seconds": round(self._now_unix - unix, 3)}

    def _error(self, error: LastError | None) -> Object | None:
        if error is None:
            return None
        return {
            "code": error.code,
            "message": error.message,
            "http_status": error.http_status,
            "request_id": error.request_id or None,
            "when": self._past(error.unix),
        }

    def _next(self, unix: float | None, account: str, space: str) -> Object:
        status = self._accounts.get(account)
        is_scheduled = unix is not None and unix < math.inf
        if unix is None:
            state = "polling"
        elif status is not None and (not status.up or (not is_scheduled and space in status.refused_spaces)):
            state = "held_back"
        else:
            state = ("due" if unix < self._now_unix + 1 else "scheduled") if is_scheduled else "never"
        return {
            "state": state,
            "at": iso(unix) or None if unix is not None and is_scheduled else None,
            "in_seconds": round(unix - self._now_unix, 3) if unix is not None and is_scheduled else None,
        }

    def _can_send(self, entry: Entry) -> Object | None:
        health = entry.record.health
        if not entry.verdict:
            return None
        answer = None if health is None else health.answer
        return {
            "verdict": entry.facts.verdict or None,
            "last_verdict": None if answer is None else answer.verdict,
            "since": self._past(None if health is None else health.since_unix),
            "last_success": self._past(None if health is None else health.success_unix),
            "request_id": None if answer is None else answer.request_id or None,
            "errors": [
                {
                    "entity": error.entity,
                    "code": error.code,
                    "description": error.description,
                    "solution": error.solution,
                    "action": health_errors.cure_of(error.entity, error.code),
                }
                for error in (() if answer is None else answer.errors)
            ],
            "last_error": self._error(None if health is None else health.last_error),
        }

    def _listing(self, entry: Entry) -> Object | None:
        if not entry.connection:
            return None
        record, facts = entry.record, entry.facts
        last, now = record.listing, self._snapshot.entry(record)
        day = entry.customers_a_day
        return {
            "listed": facts.listed,
            "last_listing": None if last is None else self._past(self._snapshot.unix_of(last.looked_at)),
            "connection_status": facts.connection or None,
            "last_connection_status": last.entry.connection_status or None if last and last.entry else None,
            "quality_rating": facts.quality or None,
            "name_status": facts.name_status or None,
            "verified_name": now.verified_name or None if now is not None else None,
            "messaging_limit": None if entry.limit == NOT_KNOWN else entry.limit,
            "customers_a_day": None if day is None or day == math.inf else int(day),
        }


def _cluster(cluster: ClusterStatus, accounts: Sequence[AccountStatus]) -> Object:
    return {
        "store_up": cluster.store_up,
        "is_at_spare_rate": cluster.is_spare,
        "is_extra": cluster.is_extra,
        "replicas": [{"name": name, "accounts": count} for name, count in shares(cluster, accounts)],
    }


def _why(error: Refused, action: str) -> Object:
    return {
        "code": error.code or None,
        "message": error.message,
        "request_id": error.request_id or None,
        "action": action,
    }


def _fault(fault: Fault) -> Object:
    return {"of": fault.of, **_why(fault.error, fault.advice)}


def _faults(found: Faults) -> Object:
    return {"total": found.total, "first": [_fault(fault) for fault in found.shown]}


def _address(query: Query, page: int) -> str:
    parameters = query.but(refresh_seconds=0, page=page).parameters()
    return f"{routes.NUMBERS[1:]}?{FORMAT}={JSON}{'&' if parameters else ''}{parameters}"


def _page(content: Object, status: int = 200) -> Page:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Page(f"{text}\n".encode("utf-8", "replace"), {}, status, CONTENT_TYPE)
