"""The telemetry paths that the command line accepts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.routes import HEALTHY, READY, parse_telemetry_path


@pytest.mark.parametrize("path", ["/metrics", "/", "/a/b", "/metrics/", "/-metrics", "/numbers2", "/a:b", "/~x/$y(1)"])
def test_a_plain_path_is_taken_as_it_is(path: str) -> None:
    assert parse_telemetry_path(path) == path


@pytest.mark.parametrize("path", ["", "metrics", "http://host/metrics"])
def test_a_path_without_its_slash_is_refused_with_the_cure(path: str) -> None:
    with pytest.raises(ValueError, match='does not start with "/"; write it as "/metrics"'):
        parse_telemetry_path(path)


@pytest.mark.parametrize(
    "path", [HEALTHY, READY, "/-/reload", "/-/", "/-", "/-/anything", "/numbers", "/numbers/1", "/config"]
)
def test_the_exporters_own_paths_are_refused(path: str) -> None:
    """A telemetry path must not hide a probe or a page, now or in a later version."""
    with pytest.raises(ValueError, match="one of the exporter's own paths; write another one"):
        parse_telemetry_path(path)


@pytest.mark.parametrize(
    "path",
    ["//", "//metrics", "/a//b", "/./metrics", "/..", "/a b", "/m?x=1", "/m#x", "/m%41", "/métriques", "/m\n", "/m\0"],
)
def test_a_path_that_clients_would_rewrite_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a plain path; write letters"):
        parse_telemetry_path(path)


def refusal(text: str) -> str:
    """Why a path is refused; empty if it is accepted."""
    try:
        assert parse_telemetry_path(text) == text
    except ValueError as refused:
        return str(refused)
    return ""


@given(st.text(max_size=20) | st.text("/.-ab", max_size=12))
def test_any_text_is_accepted_unchanged_or_refused_with_a_fix(text: str) -> None:
    reason = refusal(text)
    assert not reason or "; write " in reason
