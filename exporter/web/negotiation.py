"""What a client's Accept and Accept-Encoding headers ask for.

Never refuses: where a header is malformed, or asks only for what is not served, the answer is the plain text format
without compression, which any client of this exporter can read.

Source: RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3; the headers that Prometheus 2.x and 3.x send.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.exposition import Format

MAX_HEADER_CHARACTERS = 2048
"""What lies beyond is ignored: Prometheus sends about 300, and reading must not hold up the event loop."""

_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_QUALITY = re.compile(r"0?\.[0-9]+|0\.?|1(?:\.0*)?", re.ASCII)

_OPENMETRICS_VERSIONS = frozenset({"1.0.0", "0.0.1"})
"""0.0.1 is what Prometheus before 2.31 asks for; it reads 1.0.0 as well."""

_TEXT_VERSIONS = frozenset({"0.0.4"})


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of such a header: ``value;name=parameter;q=quality``, in lower case, 0 ≤ `quality` ≤ 1."""

    value: str
    parameters: Mapping[str, str]
    quality: float


def negotiate_format(accept: str) -> Format:
    """The exposition format for an Accept header (several joined by commas; empty when there is none).

    OpenMetrics where the client rates it above text, or as high as text and names it (``*/*`` does not); else text.
    """
    elements = list(_elements(accept))
    openmetrics, named = _rating(elements, "application/openmetrics-text", _OPENMETRICS_VERSIONS)
    text, _ = _rating(elements, "text/plain", _TEXT_VERSIONS)
    if openmetrics > text or (openmetrics == text > 0 and named):
        return Format.OPENMETRICS
    return Format.TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip and does not rate the plain bytes (``identity``) above it."""
    qualities: dict[str, float] = {}
    for element in _elements(accept_encoding):
        coding = "gzip" if element.value == "x-gzip" else element.value
        qualities[coding] = max(element.quality, qualities.get(coding, 0.0))
    others = qualities.get("*", 0.0)
    gzip = qualities.get("gzip", others)
    return gzip > 0 and gzip >= qualities.get("identity", others)


def _rating(elements: Iterable[_Element], media_type: str, versions: frozenset[str]) -> tuple[float, bool]:
    """The quality that the most specific matching elements give a type, and whether they name more than ``*/*``."""
    quality, best = 0.0, -1
    for element in elements:
        specificity = _specificity(element, media_type, versions)
        if specificity > best:
            quality, best = element.quality, specificity
        elif specificity == best >= 0:
            quality = max(quality, element.quality)
    return quality, best > 0


def _specificity(element: _Element, media_type: str, versions: frozenset[str]) -> int:
    """How closely an element means a type: 0 for ``*/*`` up to 3 for type and version; -1 where it means another."""
    if element.value == media_type:
        version = element.parameters.get("version")
        if version is None:
            return 2
        return 3 if version in versions else -1
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
