"""What a client's Accept and Accept-Encoding headers ask for.

Never refuses.  If a header is malformed, or asks only for what is not served, the answer is in the plain text format
without compression: every client of this exporter can read it.

Source: RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3; Prometheus's "Scrape protocol content negotiation" and "escaping
schemes"; the headers that Prometheus 2.x and 3.x send.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.metrics.exposition import Format

MAX_HEADER_CHARACTERS = 2048
"""The rest is ignored: Prometheus sends about 300, and reading must not block the event loop."""

_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_QUALITY = re.compile(r"0?\.[0-9]+|0\.?|1(?:\.0*)?", re.ASCII)

_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"

_VERSIONS: Mapping[str, tuple[str, ...]] = {_OPENMETRICS: ("1.0.0", "0.0.1"), _TEXT: ("0.0.4", "1.0.0")}
"""The versions of each type; the first is for clients that name none.  Only the Content-Type differs."""

_ESCAPED_VERSION = "1.0.0"
"""The version in which the Content-Type says how names are escaped."""

_ESCAPINGS = ("underscores", "allow-utf-8", "values")
"""The schemes that do not change this exporter's names; the first is the default.  ``dots`` doubles underscores."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of such a header: ``value;name=parameter;q=quality``, in lower case, 0 ≤ `quality` ≤ 1."""

    value: str
    parameters: Mapping[str, str]
    quality: float


_NOTHING = _Element("", {}, 0.0)


class Negotiated(NamedTuple):
    """What an Accept header brings: the format of the answer, and its Content-Type."""

    format: Format
    content_type: str


def negotiate_format(accept: str) -> Negotiated:
    """The exposition format for an Accept header (several joined by commas; empty if there is none).

    OpenMetrics if the client rates it above text, or as high as text and names it (``*/*`` does not); else text.
    """
    elements = list(_elements(accept))
    openmetrics, text = _closest(elements, _OPENMETRICS), _closest(elements, _TEXT)
    is_named = openmetrics.value != "*/*"
    if openmetrics.quality > text.quality or (openmetrics.quality == text.quality > 0 and is_named):
        return Negotiated(Format.OPENMETRICS, _content_type(_OPENMETRICS, openmetrics))
    return Negotiated(Format.TEXT, _content_type(_TEXT, text))


def _content_type(media_type: str, element: _Element) -> str:
    """The type in the version that the client named, with the escaping scheme if that version has one."""
    versions = _VERSIONS[media_type]
    named = element.parameters if element.value == media_type and element.quality > 0 else {}
    version = named.get("version", "")
    if version not in versions:
        version = versions[0]
    written = f"{media_type}; version={version}; charset=utf-8"
    if version != _ESCAPED_VERSION:
        return written
    asked = named.get("escaping")
    return f"{written}; escaping={asked if asked in _ESCAPINGS else _ESCAPINGS[0]}"


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip and does not rate the plain bytes (``identity``) above it."""
    qualities: dict[str, float] = {}
    for element in _elements(accept_encoding):
        coding = "gzip" if element.value == "x-gzip" else element.value
        qualities[coding] = max(element.quality, qualities.get(coding, 0.0))
    others = qualities.get("*", 0.0)
    gzip = qualities.get("gzip", others)
    return gzip > 0 and gzip >= qualities.get("identity", others)


def _closest(elements: Iterable[_Element], media_type: str) -> _Element:
    """The element that means a type most specifically; of several, the one with the highest quality."""
    meant = [element for element in elements if _specificity(element, media_type) >= 0]
    return max(meant, key=lambda element: (_specificity(element, media_type), element.quality), default=_NOTHING)


def _specificity(element: _Element, media_type: str) -> int:
    """How specifically an element means a type: 0 for ``*/*`` up to 3 for type and version; -1 if it means another."""
    if element.value == media_type:
        version = element.parameters.get("version")
        if version is None:
            return 2
        return 3 if version in _VERSIONS[media_type] else -1
    if element.value == media_type.partition("/")[0] + "/*":
        return 1
    return 0 if element.value == "*/*" else -1


def _elements(header: str) -> Iterator[_Element]:
    """The well-formed elements of a header; the others are skipped."""
    for text in _ELEMENT.findall(header[:MAX_HEADER_CHARACTERS]):
        value, *parameters = _PART.findall(text) or [""]
        named = dict(_parameter(parameter) for parameter in parameters)
        quality = named.pop("q", "1")
        if _QUALITY.fullmatch(quality):
            yield _Element(value.strip().lower(), named, float(quality))


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"').lower()
