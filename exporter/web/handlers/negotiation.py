"""What a client's Accept and Accept-Encoding headers ask for.

Never refuses: where a header is malformed, or asks only for what is not served, the answer is the plain text format
without compression, which any client of this exporter can read.

Source: RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3; Prometheus's "Scrape protocol content negotiation" and "escaping
schemes"; the headers that Prometheus 2.x and 3.x send.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.metrics.exposition import Format

MAX_HEADER_CHARACTERS = 2048
"""What lies beyond is ignored: Prometheus sends about 300, and reading must not hold up the event loop."""

_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_QUALITY = re.compile(r"0?\.[0-9]+|0\.?|1(?:\.0*)?", re.ASCII)

_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"

_VERSIONS: Mapping[str, tuple[str, ...]] = {_OPENMETRICS: ("1.0.0", "0.0.1"), _TEXT: ("0.0.4", "1.0.0")}
"""The versions of each type, first the one for a client that names none.  They differ in the Content-Type alone."""

_ESCAPED_VERSION = "1.0.0"
"""The version in which the Content-Type says how names are escaped."""

_ESCAPINGS = ("underscores", "allow-utf-8", "values")
"""The schemes that leave this exporter's names as they are, first the default.  ``dots`` would double underscores."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of such a header: ``value;name=parameter;q=quality``, in lower case, 0 ≤ `quality` ≤ 1."""

    value: str
    parameters: Mapping[str, str]
    quality: float


@dataclass(frozen=True, slots=True)
class _Rating:
    """How much a client wants a type: its quality, whether it names more than ``*/*``, and what it says of the type."""

    quality: float = 0.0
    specificity: int = -1
    parameters: Mapping[str, str] = field(default_factory=dict)


class Negotiated(NamedTuple):
    """What an Accept header brings: the format of the answer, and its Content-Type."""

    format: Format
    content_type: str


def negotiate_format(accept: str) -> Negotiated:
    """The exposition format for an Accept header (several joined by commas; empty when there is none).

    OpenMetrics where the client rates it above text, or as high as text and names it (``*/*`` does not); else text.
    """
    elements = list(_elements(accept))
    openmetrics, text = _rating(elements, _OPENMETRICS), _rating(elements, _TEXT)
    is_named = openmetrics.specificity > 0
    if openmetrics.quality > text.quality or (openmetrics.quality == text.quality > 0 and is_named):
        return Negotiated(Format.OPENMETRICS, _content_type(_OPENMETRICS, openmetrics))
    return Negotiated(Format.TEXT, _content_type(_TEXT, text))


def _content_type(media_type: str, rating: _Rating) -> str:
    """The type in the version that the client named, with the escaping scheme where that version has one."""
    versions = _VERSIONS[media_type]
    version = rating.parameters.get("version", "") if rating.quality > 0 else ""
    if version not in versions:
        version = versions[0]
    written = f"{media_type}; version={version}; charset=utf-8"
    if version != _ESCAPED_VERSION:
        return written
    asked = rating.parameters.get("escaping")
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


def _rating(elements: Iterable[_Element], media_type: str) -> _Rating:
    """What the most specific of the elements that mean a type say of it; of those, the one of highest quality."""
    best = _Rating()
    for element in elements:
        specificity = _specificity(element, media_type)
        if specificity >= 0 and (specificity, element.quality) > (best.specificity, best.quality):
            best = _Rating(element.quality, specificity, element.parameters if element.value == media_type else {})
    return best


def _specificity(element: _Element, media_type: str) -> int:
    """How closely an element means a type: 0 for ``*/*`` up to 3 for type and version; -1 where it means another."""
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
