"""Builds the HTML pages: without scripts, and without files from other sites.

Every value in a template is escaped.  The security headers of a page allow only the inline style sheet, by its hash.
Links are relative, so they work behind a proxy that adds a prefix.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from exporter.cams.error_codes import advice
from exporter.cams.operations import GetWhatsappHealthStatus
from exporter.model import AccountStatus, ClusterStatus, PhoneNumber
from exporter.state.store import Details, Snapshot
from exporter.web import routes
from exporter.web.ui import entries, formatting, health_errors, judgement, listing, number
from exporter.web.ui.accounts import AccountRow, shares, slowly
from exporter.web.ui.filters import Query, Sort

if TYPE_CHECKING:
    from jinja2 import Environment

CONTENT_TYPE = "text/html; charset=utf-8"

DEFAULT_REFRESH_SECONDS = 30
"""How often the browser asks again once a person wants it.  Not by default: it would take away what is being typed."""

DOCS = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/"
RUNBOOKS = f"{DOCS}runbooks/"

_TITLES = {
    "account": "Account",
    "status": "Status",
    "verdict": "Can send",
    "connection": "Connection",
    "quality": "Quality",
    "limit": "Limit",
    "source": "Source",
    "listed": "Listed",
}
"""What people see of each of `CHOICES`."""


@dataclass(frozen=True, slots=True)
class LandingInfo:
    """Texts about this exporter on every page; `demo` marks all data as simulated."""

    version: str
    name: str = "CAMS exporter"
    description: str = "Verification status of WhatsApp phone numbers on Alibaba Cloud, for Prometheus."
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page, which is HTML unless its `content_type` says otherwise, and its headers."""

    html: bytes
    headers: Mapping[str, str]
    status: int = 200
    content_type: str = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class Site:
    """Data that all pages share."""

    info: LandingInfo
    telemetry_path: str

    def page(
        self, template: str, values: Mapping[str, object], *, root: str = "./", status: int = 200, refresh: int = 0
    ) -> Page:
        """Render `template` with `values`; `root` is the relative path from the page to ``/``.

        The browser asks again after `refresh` seconds, unless it is 0.
        """
        style = _style()
        html = (
            _environment()
            .get_template(template)
            .render(
                site=self.info,
                style=style,
                home="" if self.telemetry_path == routes.LANDING else root,
                numbers=root + routes.NUMBERS[1:],
                metrics=root + self.telemetry_path[1:],
                config=root + routes.CONFIG[1:],
                healthy=root + routes.HEALTHY[1:],
                ready=root + routes.READY[1:],
                docs=f"{DOCS}README.md",
                runbooks=f"{RUNBOOKS}README.md",
                **values,
            )
        )
        headers = {**_security_headers(style), **refresh_header(refresh)}
        return Page(html.encode("utf-8", "replace"), headers, status)


def refresh_header(seconds: int) -> Mapping[str, str]:
    """What makes a browser ask again after some time; nothing for 0."""
    return {"Refresh": str(seconds)} if seconds else {}


def landing_page(site: Site) -> Page:
    """The page at ``/``."""
    return site.page("landing.html", {})


def numbers_page(
    site: Site,
    query: Query,
    view: tuple[Snapshot, Sequence[AccountStatus]],
    next_polls: listing.NextPolls,
    now_unix: float,
    cluster: ClusterStatus | None = None,
) -> Page:
    """The status page: accounts, the numbers of `query`, and the `cluster` of replicas if there is one."""
    _, accounts = view
    chosen = listing.Selection.of(query, *view, next_polls)
    choices = chosen.choices
    rows = [AccountRow.of(account) for account in accounts]
    values = {
        "now": now_unix,
        "cluster": cluster,
        "query": query,
        "counts": chosen.counts,
        "uses": chosen.uses,
        "listing": chosen.listing,
        "next_poll": chosen.listing.next_polls.get,
        "rows": rows,
        "choices": {
            name: _with_chosen(values, getattr(query, name))
            for name, values in choices.items()
            if values or getattr(query, name)
        },
        "titles": _TITLES,
        "foreign": chosen.foreign,
        "by_name": {account.account: account for account in accounts},
        "troubled": [row.status.account for row in rows if row.in_trouble],
        "late_seconds": max((account.lag_seconds for account in accounts), default=0.0),
        "shares": [] if cluster is None else shares(cluster, accounts),
        "slowly": "" if cluster is None else slowly(cluster),
        "Sort": Sort,
    }
    return site.page("numbers.html", values, refresh=query.refresh_seconds)


def number_page(
    site: Site,
    details: Details,
    snapshot: Snapshot,
    account: AccountStatus | None,
    next_poll: float | None,
    now_unix: float,
    refresh: int = 0,
) -> Page:
    """The page of one number, which the browser asks for again after `refresh` seconds, unless it is 0."""
    about = number.values(details, snapshot, account)
    values = {**about, "now": now_unix, "next_poll": next_poll, "refresh_seconds": refresh}
    return site.page("number.html", values, root="../", refresh=refresh)


def missing_page(site: Site) -> Page:
    """The answer if there is no such number.  It repeats nothing from the request."""
    return site.page("missing.html", {}, root="../", status=404)


def number_address(number: PhoneNumber, refresh: int = 0) -> str:
    """The address of a number's page, relative to ``/numbers``, with the number's label."""
    parameters = {"account": number.account, "space": number.cust_space_id, "number": number.label}
    if refresh:
        parameters["refresh"] = str(refresh)
    return f"{routes.NUMBER[1:]}?{urlencode(parameters, errors='replace')}"


def _with_chosen(choices: Sequence[str], chosen: str) -> Sequence[str]:
    """The choices of a filter, and the chosen value, even if it no longer exists."""
    return choices if not chosen or chosen in choices else [*choices, chosen]


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 50 ms that no scrape should wait for

    environment = Environment(
        loader=PackageLoader("exporter.web.ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "iso": formatting.iso,
        "utc": formatting.utc,
        "near": formatting.utc_near,
        "span": formatting.span,
        "look": lambda value, about="status": judgement.look(about, judgement.alone(about, value)),
        "runbook": lambda name: f"{RUNBOOKS}{name}.md",
    }
    environment.globals |= {
        "address": number_address,
        "advice": advice,
        "cure_of": health_errors.cure_of,
        "infinity": math.inf,
        "default_refresh": DEFAULT_REFRESH_SECONDS,
        "health_operation": GetWhatsappHealthStatus.name,
        "not_known": entries.NOT_KNOWN,
        "Level": judgement.Level,
    }
    return environment


@functools.cache
def _style() -> str:
    return resources.files("exporter.web.ui").joinpath("templates", "style.css").read_text(encoding="utf-8")


@functools.cache
def _security_headers(style: str) -> Mapping[str, str]:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
    }
