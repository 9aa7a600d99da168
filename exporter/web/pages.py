"""The pages people see: rendered here, without script and without any asset from elsewhere.

Every value that goes into a template is escaped.  A page comes with its security headers: nothing may be loaded or
run but the one inline style sheet, which is named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from exporter.web import paths

CONTENT_TYPE = "text/html; charset=utf-8"

_DEMO_MARK = "Demo: every number and status here is simulated."


@dataclass(frozen=True, slots=True)
class LandingInfo:
    """What the landing page says about this exporter; `demo` marks all data as simulated."""

    version: str
    name: str = "CAMS exporter"
    description: str = "Verification status of WhatsApp phone numbers on Alibaba Cloud, for Prometheus."
    demo: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page and the headers it is to be sent with."""

    html: bytes
    headers: Mapping[str, str]


def landing_page(info: LandingInfo, telemetry_path: str) -> Page:
    """The page at ``/``.  Its links are relative, so that they hold behind a proxy that adds a prefix."""
    return _page(
        "landing.html",
        name=info.name,
        version=info.version,
        description=info.description,
        demo_mark=_DEMO_MARK if info.demo else "",
        metrics=f".{telemetry_path}",
        healthy=f".{paths.HEALTHY}",
        ready=f".{paths.READY}",
    )


def _page(template: str, **values: str) -> Page:
    style = _template("style.css")
    html = Template(_template(template)).substitute(
        {key: escape(value) for key, value in values.items()},
        style=style,  # ours, not a value: escaping would break it
    )
    return Page(html.encode("utf-8", "replace"), _security_headers(style))


def _security_headers(style: str) -> dict[str, str]:
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


def _template(name: str) -> str:
    return resources.files("exporter.web").joinpath("templates", name).read_text(encoding="utf-8")
