"""The bytes of a scrape, in both formats."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.app import App
from exporter.config import load
from exporter.errors import ApiError, Kind
from exporter.metrics.exposition import PROCESS_SECONDS, Format
from exporter.metrics.number_chunks import CHUNK_NUMBERS
from exporter.model import AccountStatus, Answer
from tests.support.clock import FakeClock
from tests.support.exposing import Exposed
from tests.support.numbers import number, numbers

ACCOUNT = AccountStatus("main", 3, 60.0, 1.5, 5.0, 2.5, 3)
STATUS = "cams_phone_number_verification_status"


@pytest.fixture
def exposed() -> Exposed:
    """One number that is verified, one with a hostile status, one that failed."""
    made = Exposed([ACCOUNT])
    made.state.configure(numbers(3), {"main": 900.0})
    made.state.succeeded(number(0), Answer("VERIFIED", "id-0", "R"))
    made.state.succeeded(number(1), Answer('a"b\\c\nd', "id-1", "R"))
    made.state.failed(number(2), ApiError("timeout", Kind.TRANSIENT))
    made.counters.of("main").attempt(0.0, 0.3, "timeout")
    return made


@pytest.mark.parametrize("fmt", list(Format))
def test_it_is_what_prometheus_client_makes_byte_for_byte(exposed: Exposed, fmt: Format) -> None:
    assert exposed.exposition.scrape(fmt) == exposed.reference(fmt)


def test_text_is_parsed_back(exposed: Exposed) -> None:
    families = {f.name: f for f in parse_text(exposed.exposition.scrape(Format.TEXT).decode())}
    assert any(s.labels["status"] == 'a"b\\c\nd' and s.value == 1 for s in families[STATUS].samples)
    assert families["cams_api_requests"].samples[0].value == 1
    assert families["process_things"].samples[0].labels == {"who": 'a"b\\c\nd'}


def test_openmetrics_is_parsed_back_and_ends_in_eof(exposed: Exposed) -> None:
    text = exposed.exposition.scrape(Format.OPENMETRICS).decode()
    families = {f.name: f for f in parse_openmetrics(text)}  # type: ignore[no-untyped-call] # the library's
    assert any(s.labels["status"] == 'a"b\\c\nd' for s in families[STATUS].samples)
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1


@pytest.mark.parametrize("fmt", list(Format))
def test_no_created_series(exposed: Exposed, fmt: Format) -> None:
    """They would double every counter in Prometheus."""
    assert b"_created" not in exposed.exposition.scrape(fmt)


@pytest.mark.parametrize("fmt", list(Format))
def test_gzip_holds_the_same_bytes(exposed: Exposed, fmt: Format) -> None:
    assert gzip.decompress(exposed.exposition.scrape(fmt, gzip=True)) == exposed.exposition.scrape(fmt)


HISTOGRAM = "cams_api_request_duration_seconds"
FAMILIES = ["cams_phone_number_info", "cams_account_up", "cams_api_requests_total", HISTOGRAM, "process_things"]


def families(text: bytes) -> list[bytes]:
    """Each family with its HELP line, without the end of OpenMetrics."""
    return re.split(rb"(?m)^(?=# HELP )", text.removesuffix(b"# EOF\n"))[1:]


@pytest.mark.parametrize("names", [*([name] for name in FAMILIES), FAMILIES])
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("fmt", list(Format))
def test_names_keep_whole_families(exposed: Exposed, fmt: Format, gzipped: bool, names: list[str]) -> None:
    """As client_golang does.  A counter's name is the text format's, in OpenMetrics too."""
    helps = [f"# HELP {name if fmt is Format.TEXT else name.removesuffix('_total')} ".encode() for name in names]
    kept = [family for family in families(exposed.reference(fmt)) if family.startswith(tuple(helps))]
    text = exposed.exposition.scrape(fmt, gzip=gzipped, names=frozenset({*names, "unheard_of"}))
    if gzipped:
        text = gzip.decompress(text)
    assert len(kept) == len(names)
    assert text == b"".join(kept) + (b"# EOF\n" if fmt is Format.OPENMETRICS else b"")


def test_a_histograms_name_brings_all_of_it(exposed: Exposed) -> None:
    text = exposed.exposition.scrape(Format.OPENMETRICS, names=frozenset({HISTOGRAM})).decode()
    (family,) = parse_openmetrics(text)  # type: ignore[no-untyped-call] # the library's
    assert (family.name, family.type) == (HISTOGRAM, "histogram")
    assert {sample.name.removeprefix(HISTOGRAM) for sample in family.samples} == {"_bucket", "_count", "_sum"}


@pytest.mark.parametrize("name", [f"{HISTOGRAM}_bucket", f"{HISTOGRAM}_count", f"{HISTOGRAM}_sum", "cams_api_requests"])
def test_the_name_of_a_series_within_a_family_brings_nothing(exposed: Exposed, name: str) -> None:
    """As in client_golang: buckets without their count would be invalid OpenMetrics."""
    assert exposed.exposition.scrape(Format.OPENMETRICS, names=frozenset({name})) == b"# EOF\n"


CONFIG = """\
accounts:
  - name: main
    credentials: {type: access_key, access_key_id: id, access_key_secret: secret}
    numbers: [{phone_number: "8613900001234", cust_space_id: cams-1}]
"""


@pytest.mark.parametrize("name", ["process_cpu_seconds_total", "python_info"])
def test_the_exporters_families_about_the_process_are_found_by_their_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    app = App(load(path), FakeClock(), version="1", revision="1")
    try:
        (family,) = families(app.exposition.scrape(Format.TEXT, names=frozenset({name})))
    finally:
        app.stop()
    assert family.startswith(f"# HELP {name} ".encode())
    assert family.count(f"\n{name}".encode()) == 1


def test_the_families_about_the_process_can_be_left_out(tmp_path: Path) -> None:
    """The exporter's own stay."""
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    app = App(load(path), FakeClock(), version="1", revision="1", about_process=False)
    try:
        exposed = app.exposition.scrape(Format.TEXT)
    finally:
        app.stop()
    assert b"process_" not in exposed
    assert b"python_info" not in exposed
    assert b"cams_exporter_build_info{" in exposed


def test_values_about_the_process_are_kept_for_a_moment_unless_they_are_asked_for_by_name(exposed: Exposed) -> None:
    """Also if the wall clock is set back meanwhile."""
    calls: list[float] = []

    def count() -> float:
        calls.append(0.0)
        return float(len(calls))

    Gauge("process_reads", "x", registry=exposed.others).set_function(count)

    def shown(**more: Any) -> bytes:
        line = re.search(rb"(?m)^process_reads (.*)$", exposed.exposition.scrape(Format.TEXT, **more))
        return line[1] if line else b""

    first = shown()
    assert shown() == first
    assert shown(names=frozenset({"process_reads"})) != first
    assert shown() == first
    exposed.clock.advance(PROCESS_SECONDS)
    second = shown()
    assert second != first
    exposed.clock.now_unix -= 3600.0
    assert shown() != second


def test_names_that_match_nothing_give_an_empty_exposition(exposed: Exposed) -> None:
    nothing = frozenset({"unheard_of"})
    assert exposed.exposition.scrape(Format.TEXT, names=nothing) == b""
    assert exposed.exposition.scrape(Format.OPENMETRICS, names=nothing) == b"# EOF\n"


def test_a_family_without_samples_is_left_out_when_names_are_asked_for() -> None:
    made = Exposed([ACCOUNT])
    made.state.configure(numbers(3), {"main": 900.0})
    names = frozenset({"cams_phone_number_last_success_timestamp_seconds"})
    assert made.exposition.scrape(Format.TEXT, names=names) == b""


def test_a_status_that_goes_stale_is_shown_as_unknown_without_a_poll(exposed: Exposed) -> None:
    """A status that expires counts as a change, although nothing was written."""
    fresh = exposed.exposition.scrape(Format.TEXT).decode()
    exposed.clock.advance(900.1)
    stale = exposed.exposition.scrape(Format.TEXT).decode()
    line = f'{STATUS}{{account="main",cust_space_id="cams-kei0001",phone_number="{number(0).label}",status="VERIFIED"}}'
    assert f"{line} 1.0\n" in fresh
    assert f"{line} 0.0\n" in stale
    assert stale.encode() == exposed.reference(Format.TEXT)


def test_a_longer_stale_after_makes_a_stale_status_fresh_again_without_a_poll(exposed: Exposed) -> None:
    exposed.clock.advance(900.1)
    for stale_after in (900.0, 3600.0, 900.0):
        exposed.state.configure(numbers(3), {"main": stale_after})
        assert gzip.decompress(exposed.exposition.scrape(Format.TEXT, gzip=True)) == exposed.reference(Format.TEXT)


def test_more_numbers_than_one_chunk_are_joined_without_a_seam() -> None:
    made = Exposed([ACCOUNT])
    made.state.configure(numbers(CHUNK_NUMBERS + 1), {"main": 900.0})
    assert made.exposition.scrape(Format.OPENMETRICS) == made.reference(Format.OPENMETRICS)
