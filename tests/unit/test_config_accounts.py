"""Settings of one account, which go before those at the top."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.app import App
from exporter.config import Config, load, plan
from tests.support.clock import FakeClock
from tests.support.configs import NUMBER, faults, loaded, written
from tests.support.rawserver import authority

REST = f"numbers: [{NUMBER}]"


def two(folder: Path, top: str, first: str) -> Config:
    """A configuration of two accounts; the first has settings of its own."""
    return loaded(folder, f"{top}\naccounts:\n- {{name: own, {first}, {REST}}}\n- {{name: plain, {REST}}}")


def test_what_an_account_sets_goes_before_the_top(tmp_path: Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "top.pem"))
    authority().cert_pem.write_to_path(str(tmp_path / "own.pem"))
    config = two(
        tmp_path,
        "scrape_interval: 2m\nstale_after: 20m\n"
        "api: {endpoint: 'https://top.example', timeout: 1s, ca_file: top.pem, proxy: 'http://top:1'}",
        "scrape_interval: 10m, stale_after: 1h, "
        "api: {endpoint: 'https://own.example', timeout: 2s, ca_file: own.pem, proxy: 'http://u:p@own:2'}",
    )
    own, plain = config.accounts
    assert (own.scrape_interval_seconds, own.stale_after_seconds) == (600, 3600)
    assert (own.api.endpoint, own.api.timeout_seconds) == ("https://own.example", 2)
    assert (own.api.ca_file, own.api.proxy) == (tmp_path / "own.pem", "http://u:p@own:2")
    assert (plain.scrape_interval_seconds, plain.stale_after_seconds) == (120, 1200)
    assert (plain.api.endpoint, plain.api.timeout_seconds) == ("https://top.example", 1)
    assert (plain.api.ca_file, plain.api.proxy) == (tmp_path / "top.pem", "http://top:1")


def test_each_key_that_an_account_lacks_is_as_at_the_top(tmp_path: Path) -> None:
    config = two(tmp_path, "api: {timeout: 1s, proxy: 'http://top:1'}", "api: {endpoint: 'https://own.example'}")
    own, _ = config.accounts
    assert (own.api.endpoint, own.api.timeout_seconds, own.api.proxy) == ("https://own.example", 1, "http://top:1")
    assert own.scrape_interval_seconds == 60


def test_the_default_of_stale_after_follows_the_interval_of_the_account(tmp_path: Path) -> None:
    own, plain = two(tmp_path, "", "scrape_interval: 1h").accounts
    assert (own.stale_after_seconds, plain.stale_after_seconds) == (3 * 3600, 900)


def test_an_endpoint_on_loopback_may_stand_in_an_account_beside_a_proxy_at_the_top(tmp_path: Path) -> None:
    """It is plain HTTP, which never goes through a proxy."""
    own, plain = two(tmp_path, "api: {proxy: 'http://top:1'}", "api: {endpoint: 'http://127.0.0.1:1'}").accounts
    assert (own.api.endpoint, plain.api.proxy) == ("http://127.0.0.1:1", "http://top:1")


SHORT = "is shorter than scrape_interval"


@pytest.mark.parametrize(
    ("top", "own", "fault"),
    [
        ("", "scrape_interval: 60", "accounts[0].scrape_interval: 60 has no unit; write 60s"),
        ("", "api: {qps: 1}", "accounts[0].api.qps: unknown key; the keys here are endpoint, timeout, ca_file, proxy"),
        ("", "stale_after: 30s", f"accounts[0].stale_after: 30s {SHORT} (1m); write at least 3 times that"),
        ("", "scrape_interval: 1h, stale_after: 30m", f"accounts[0].stale_after: 30m {SHORT} (1h)"),
        (
            "stale_after: 30m",
            "scrape_interval: 1h",
            "accounts[0].scrape_interval: 1h is longer than stale_after at the top (30m); write stale_after here too",
        ),
        ("", "api: {proxy: 'socks5://h:1'}", "accounts[0].api.proxy: is a SOCKS proxy, which this exporter does not"),
        ("", "api: {proxy: 'https://h:1'}", "accounts[0].api.proxy: is not an HTTP proxy; write http://HOST:PORT, or"),
        (
            "",
            "api: {endpoint: 'http://127.0.0.1', proxy: 'http://h:1'}",
            "accounts[0].api.proxy: has no effect with an http endpoint; remove it",
        ),
    ],
)
def test_a_fault_names_the_account(tmp_path: Path, top: str, own: str, fault: str) -> None:
    (found,) = faults(tmp_path, f"{top}\naccounts: [{{name: own, {own}, {REST}}}]")
    assert found.partition(" ")[2].startswith(fault)


@pytest.mark.parametrize(
    "proxy", ["socks5://u:hunter2@h", "http://u:hunter2@h:0", "http://u:hunter2@h:x", "u:hunter2 @h"]
)
def test_a_refused_proxy_does_not_show_its_password(tmp_path: Path, proxy: str) -> None:
    (fault,) = faults(tmp_path, f'api: {{proxy: "{proxy}"}}\naccounts: [{{name: own, {REST}}}]')
    assert "hunter2" not in fault
    assert "hunter2" not in repr(two(tmp_path, "", "api: {proxy: 'http://u:hunter2@h'}"))


def test_a_short_stale_after_is_warned_about_where_it_stands(tmp_path: Path) -> None:
    warning, *_ = two(tmp_path, "", "stale_after: 2m").warnings
    assert f'{tmp_path}/config.yml:3: accounts[0].stale_after: 2m is short for account "own"' in warning


def test_the_plan_shows_intervals_and_endpoints_that_differ(tmp_path: Path) -> None:
    config = two(tmp_path, "", "scrape_interval: 10m, api: {endpoint: 'https://own.example'}")
    said = plan(config).splitlines()
    assert said[0].endswith("2 accounts, 2 numbers, asked every 1m to 10m at 2 endpoints")
    assert said[3].split("  ")[-1] == "https://own.example"
    assert "every 10m" in said[3]
    assert "every 1m " in said[4]


def test_each_account_is_polled_at_its_own_interval(tmp_path: Path) -> None:
    path = written(tmp_path, f"accounts: [{{name: own, scrape_interval: 10m, {REST}}}, {{name: plain, {REST}}}]")
    app = App(load(path), FakeClock(), version="1", revision="1", about_exporter=False)
    try:
        _, accounts = app.view()
        assert {each.account: each.scrape_interval_seconds for each in accounts} == {"own": 600, "plain": 60}
    finally:
        app.stop()
