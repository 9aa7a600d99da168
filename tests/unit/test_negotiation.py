"""Content negotiation by the headers Accept and Accept-Encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import Format
from exporter.web.handlers.negotiation import MAX_HEADER_CHARACTERS, accepts_gzip, negotiate_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_TEXT_ONLY = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS_2_42,
        PROMETHEUS_3,
        PROMETHEUS_WITH_PROTOBUF,
        "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",  # before 2.31
        "application/openmetrics-text",
        "APPLICATION/OpenMetrics-Text; Version=1.0.0; Q=0.7",
        'application/openmetrics-text; version="1.0.0"; charset=utf-8',
        "text/plain, application/openmetrics-text",  # in a tie the named one wins
        "*/*, application/openmetrics-text",
        "application/*;q=0.5, text/plain;q=0.4",
        "text/plain;q=0, */*",
        'text/plain;note="a,b;q=1";q=0.1, application/openmetrics-text;q=0.2',
        "application/openmetrics-text;version=2.0.0, application/openmetrics-text;version=1.0.0;q=0.3, text/*;q=0.2",
        "application/openmetrics-text;version=1.0.0;q=0.9, application/openmetrics-text;q=0.1, text/plain;q=0.5",
    ],
)
def test_openmetrics_is_served_to_a_client_that_rates_it_no_lower_than_text(accept: str) -> None:
    assert negotiate_format(accept).format is Format.OPENMETRICS


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        "text/*",
        "text/plain;version=0.0.4",
        PROMETHEUS_TEXT_ONLY,
        FIREFOX,
        JAVA,
        "text/plain;q=0.6, application/openmetrics-text;q=0.5",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0, */*",
        "application/openmetrics-text;q=0.5, */*;q=0.9",
        "application/openmetrics-text;version=2.0.0, */*;q=0.1",  # an unsupported version is another type
        "application/openmetrics-text;version=1.0.0;q=0, application/openmetrics-text;q=1",  # the closer one wins
        "application/json",
        "*/*;q=0",
    ],
)
def test_text_is_served_to_everyone_else(accept: str) -> None:
    assert negotiate_format(accept).format is Format.TEXT


@pytest.mark.parametrize(
    "accept",
    [
        ",",
        ";;;",
        ";q=1",
        "q=1",
        '"',
        '"application/openmetrics-text',
        "application/openmetrics-text;q=high",
        "application/openmetrics-text;q=1.5",
        "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=nan",
        "application/openmetrics-text;q=1e3",
        "application/openmetrics-text;q=.",
        "application/openmetrics-text;q=",
        "application/openmetrics-text;q=\u0661",  # a digit, but not one of HTTP's
        "application/openmetrics-text/x",
        "application/openmetrics-text;version=",
        "application/openmetrics-text;version",
        "\\",
        'text/plain;a="\\',
    ],
)
def test_a_malformed_accept_header_brings_text(accept: str) -> None:
    """An invalid element is ignored: no error, no guess."""
    assert negotiate_format(accept).format is Format.TEXT


def test_a_malformed_element_does_not_spoil_its_neighbours() -> None:
    assert negotiate_format(";;,text/plain;q=high,application/openmetrics-text;q=0.5,,").format is Format.OPENMETRICS


OPENMETRICS_1 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
TEXT_0 = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS_3, f"{OPENMETRICS_1}allow-utf-8"),
        (PROMETHEUS_3.replace("allow-utf-8", "underscores"), f"{OPENMETRICS_1}underscores"),
        (PROMETHEUS_3.replace("allow-utf-8", "values"), f"{OPENMETRICS_1}values"),
        (PROMETHEUS_3.replace("allow-utf-8", "Values"), f"{OPENMETRICS_1}values"),
        # It doubles underscores, which our names have: not served.
        (PROMETHEUS_3.replace("allow-utf-8", "dots"), f"{OPENMETRICS_1}underscores"),
        (PROMETHEUS_3.replace("allow-utf-8", '"x\\r\\nSet-Cookie: a=b"'), f"{OPENMETRICS_1}underscores"),
        (PROMETHEUS_2_42, f"{OPENMETRICS_1}underscores"),
        ("application/openmetrics-text", f"{OPENMETRICS_1}underscores"),
        ("application/*", f"{OPENMETRICS_1}underscores"),
        ("application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8"),
        (
            "application/openmetrics-text;version=0.0.1;q=0.9,application/openmetrics-text;version=1.0.0;q=0.8",
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
        ),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", f"{TEXT_1}allow-utf-8"),
        ("text/plain;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5", f"{TEXT_1}underscores"),
        ("text/plain;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.6", TEXT_0),
        ("text/plain;version=1.0.0;q=0", TEXT_0),
        (PROMETHEUS_TEXT_ONLY, TEXT_0),
        ("text/plain;escaping=allow-utf-8", TEXT_0),
        ("", TEXT_0),
        ("*/*;version=1.0.0;escaping=values", TEXT_0),
        (FIREFOX, TEXT_0),
    ],
)
def test_the_content_type_names_the_version_asked_for_and_from_1_0_the_escaping(accept: str, content_type: str) -> None:
    """Prometheus's "Scrape protocol content negotiation"; an unknown scheme is not echoed."""
    assert negotiate_format(accept).content_type == content_type


@pytest.mark.parametrize(
    "accept_encoding",
    [
        "gzip",
        "GZip",
        "x-gzip",
        "gzip, deflate, br",
        "gzip;q=0.1",
        "deflate, gzip;q=0.5",
        "*",
        "*;q=0.5",
        "gzip, identity",
        "identity;q=0.5, *;q=0.8",
        "identity;q=0, gzip;q=0.1",
        "br;q=x, gzip",
    ],
)
def test_gzip_is_sent_where_it_is_allowed_and_plain_bytes_are_not_preferred(accept_encoding: str) -> None:
    assert accepts_gzip(accept_encoding)


@pytest.mark.parametrize(
    "accept_encoding",
    [
        "",
        "identity",
        "gzip;q=0",
        "gzip;q=0.000, *",
        "*;q=0",
        "gzip;q=0.5, identity",
        "gzip;q=0.5, *",  # the star includes the plain bytes
        "deflate, br",
        "identity;q=0",  # gzip was not offered; every client can read plain bytes
        "gzip;q=x",
        "gzipped",
        "not gzip",
    ],
)
def test_gzip_is_not_sent_elsewhere(accept_encoding: str) -> None:
    assert not accepts_gzip(accept_encoding)


WORDS = ["application/openmetrics-text", "text/plain", "*/*", "text/*", "gzip", "identity", "q", "version", "1.0.0"]
TOKENS = st.sampled_from([*WORDS, *',;="\\ .01/*'])
HEADERS = st.lists(TOKENS, max_size=40).map("".join) | st.text(max_size=200)


@given(HEADERS)
def test_any_header_text_brings_some_format_and_encoding(header: str) -> None:
    """A broken header never makes a scrape fail."""
    assert negotiate_format(header).format in Format
    assert accepts_gzip(header) in {True, False}


@given(st.integers(0, 1000), st.integers(0, 1000), st.booleans())
def test_the_higher_quality_wins_whatever_the_order(openmetrics: int, text: int, openmetrics_first: bool) -> None:
    """RFC 9110: preference is by quality, not by place; a tie that is not zero goes to OpenMetrics, which was named."""
    ranges = [f"application/openmetrics-text;q={openmetrics / 1000:.3f}", f"text/plain;q={text / 1000:.3f}"]
    accept = ", ".join(ranges if openmetrics_first else reversed(ranges))
    wins = openmetrics > 0 and openmetrics >= text
    assert negotiate_format(accept).format is (Format.OPENMETRICS if wins else Format.TEXT)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_gzip_is_chosen_by_its_quality_against_identity(gzip: int, identity: int) -> None:
    header = f"gzip;q={gzip / 1000:.3f}, identity;q={identity / 1000:.3f}"
    assert accepts_gzip(header) is (gzip > 0 and gzip >= identity)


def test_what_lies_beyond_the_limit_of_a_header_is_not_read() -> None:
    """A megabyte of Accept must not hold up the event loop."""
    filler = "x/y," * (MAX_HEADER_CHARACTERS // 4)
    assert negotiate_format("application/openmetrics-text," + filler).format is Format.OPENMETRICS
    assert negotiate_format(filler + "application/openmetrics-text").format is Format.TEXT
