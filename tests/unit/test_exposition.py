"""The bytes of a scrape, in both formats."""

from __future__ import annotations

import gzip

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import Exposition, Format

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's


@pytest.fixture
def exposition() -> Exposition:
    registry = CollectorRegistry()
    Gauge("up_now", 'a "gauge"\nwith a \\', ["who"], registry=registry).labels('a"b\\c\nd').set(1)
    Counter("polls_total", "polls", registry=registry).inc(3)
    Histogram("took_seconds", "time", buckets=(0.1, 1.0), registry=registry).observe(0.5)
    return Exposition(registry)


def test_text_is_parsed_back(exposition: Exposition) -> None:
    families = {f.name: f for f in parse_text(exposition.scrape(Format.TEXT).decode())}
    assert families["up_now"].samples[0].labels == {"who": 'a"b\\c\nd'}
    assert families["polls"].samples[0].value == 3


def test_openmetrics_is_parsed_back_and_ends_in_eof(exposition: Exposition) -> None:
    text = exposition.scrape(Format.OPENMETRICS).decode()
    families = {f.name: f for f in parse_openmetrics(text)}  # type: ignore[no-untyped-call] # the library's
    assert families["up_now"].samples[0].labels == {"who": 'a"b\\c\nd'}
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("fmt", list(Format))
def test_no_created_series(exposition: Exposition, fmt: Format) -> None:
    """They would double every counter in Prometheus."""
    assert b"_created" not in exposition.scrape(fmt)


@pytest.mark.parametrize("fmt", list(Format))
def test_gzip_holds_the_same_bytes(exposition: Exposition, fmt: Format) -> None:
    assert gzip.decompress(exposition.scrape(fmt, gzip=True)) == exposition.scrape(fmt)


def test_names_keep_only_the_samples_so_named(exposition: Exposition) -> None:
    text = exposition.scrape(Format.TEXT, names=frozenset({"polls_total", "took_seconds_count", "unheard_of"})).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["polls_total 3.0", "took_seconds_count 1.0"]


def test_names_that_match_nothing_give_an_empty_exposition(exposition: Exposition) -> None:
    nothing = frozenset({"unheard_of"})
    assert exposition.scrape(Format.TEXT, names=nothing) == b""
    assert exposition.scrape(Format.OPENMETRICS, names=nothing) == b"# EOF\n"
