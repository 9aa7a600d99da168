"""The paths this server answers on, and the one among them that the user names.

Imports no web library: the command line checks its flags here.
"""

from __future__ import annotations

import re

LANDING = "/"
HEALTHY = "/-/healthy"
READY = "/-/ready"
RELOAD = "/-/reload"
CONFIG = "/config"
NUMBERS = "/numbers"
NUMBER = "/numbers/number"

PAGES = (CONFIG, NUMBERS, NUMBER)
"""The paths that people type, so a slash at the end leads to the page."""

_RESERVED = ("/-", NUMBERS, CONFIG)
"""These and what lies below them are the exporter's own, served now or by a later version."""

_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+", re.ASCII)
"""A path segment that every client sends as it is written: RFC 3986, without percent-encoding."""


def parse_telemetry_path(text: str) -> str:
    """`text`, if metrics may be served there; else ValueError with the cure.

    ``/`` is allowed: metrics then take the place of the landing page.
    """
    if not text.startswith("/"):
        raise ValueError(f'"{text}" does not start with "/"; write it as "/metrics"')
    if any(text == reserved or text.startswith(f"{reserved}/") for reserved in _RESERVED):
        raise ValueError(f'"{text}" is one of the exporter\'s own paths; write another one, such as "/metrics"')
    segments = text[1:].removesuffix("/").split("/") if text != LANDING else []
    if not all(_SEGMENT.fullmatch(segment) and segment not in {".", ".."} for segment in segments):
        raise ValueError(
            f'"{text}" is not a plain path; write letters, digits and -._~ between single slashes, such as "/metrics"'
        )
    return text
