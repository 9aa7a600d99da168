"""Forbidden spaces next to good ones, and trouble at the start that ends soon, with the whole exporter."""

from __future__ import annotations

import itertools
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from exporter.simulator import Refusal, Simulator, World, faults
from tests.support.exporter import ExporterProcess, account, awaited, errors, statuses, total, until, value
from tests.support.fleet import config, fleet, never_throttle, phones

FORBIDDEN = faults.error(Refusal.FORBIDDEN.status, Refusal.FORBIDDEN.code, "User not authorized.")


def are_polled(world: World, wanted: Iterable[str], times: int) -> None:
    """Wait until each of these numbers has been polled that many more times."""
    before, wanted = len(world.arrivals()), set(wanted)

    def fewest() -> int:
        polls = Counter(arrival.phone_number for arrival in world.arrivals()[before:])
        return min(polls[phone] for phone in wanted)

    until(lambda: fewest() >= times, f"each is polled {times} times")


@pytest.mark.parametrize("spaces", [("cams-a", "cams-b"), ("cams-a", "cams-a")])
def test_forbidden_numbers_beside_as_many_good_ones_harm_only_themselves(spaces: tuple[str, str]) -> None:
    """In their own space, and in the space of good ones.  Once they are accepted, they are polled without a restart."""
    world = World()
    world.add_account("main", "key-main", "secret-main")
    space_of = {phone: spaces[place % 2] for place, phone in enumerate(phones(16))}
    good, bad = phones(16)[::2], phones(16)[1::2]
    for phone, space in space_of.items():
        world.add_number("main", space, phone, fault=FORBIDDEN if phone in bad else None)
    section = account([(space, phone) for phone, space in space_of.items()], qps=9)
    is_refused = spaces[0] != spaces[1]
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="2s")) as exporter,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        before = len(world.arrivals())
        are_polled(world, good, 4)
        outcomes = Counter(arrival.outcome for arrival in world.arrivals()[before:])
        scraped = exporter.scraped(
            lambda scraped: total(scraped, "cams_phone_number_last_poll_success") == 8, "what was asked is answered"
        )
        shown = statuses(scraped)
        assert {shown[phone] for phone in good} == {"VERIFIED"}
        assert {shown[phone] for phone in bad} == {"UNKNOWN"}
        assert value(scraped, "cams_account_up") == 1
        assert value(scraped, "cams_account_space_up", cust_space_id="cams-a") == 1
        if is_refused:
            assert value(scraped, "cams_account_space_up", cust_space_id="cams-b") == 0
            assert outcomes["Forbidden.RAM"] < outcomes["OK"] / 8, "the refused space is probed, no more"
            page = exporter.get("/numbers")[1].decode()
            assert "1 of 2 spaces refused" in page
            assert "the space is refused" in page
        for number in world.accounts["main"].numbers.values():
            number.fault = None
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all are verified")
        until(lambda: total(exporter.scrape(), "cams_account_space_up") == len(set(spaces)), "all are accepted")
        assert ("a space is refused" in exporter.log) is is_refused
        assert "the account is refused" not in exporter.log


@pytest.mark.parametrize("header", [b"Retry-After: 3", b"x-acs-retry-after: 3000"])
def test_an_account_waits_as_long_as_a_failing_service_asks_and_keeps_its_rate(header: bytes) -> None:
    """An HTTP 503 without a code, as from a gateway, is not a throttle."""
    world = World()
    section = fleet(world, 40, qps=9)
    never_throttle(world)
    head = b"HTTP/1.1 503 Service Unavailable\r\n" + header + b"\r\nContent-Length: 0\r\n\r\n"
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: len(world.arrivals("main")) >= 10, "it polls")
        world.inject(faults.raw(head), account="main")
        failed = awaited(lambda: errors(exporter.scrape()), bool, "a poll failed")
        assert failed.keys() == {("main", "http_503")}

        def longest_pause() -> float:
            instants = [arrival.at for arrival in world.arrivals("main")]
            return max(after - before for before, after in itertools.pairwise(instants))

        until(lambda: longest_pause() >= 2.9, "it waits, and goes on")
        assert value(exporter.scrape(), "cams_api_effective_qps", account="main") == 9


def test_numbers_are_polled_soon_after_the_endpoint_comes_up_for_any_interval() -> None:
    """All of its retries are used up by then; the next regular poll would come in ten minutes."""
    world = World()
    section = fleet(world, 5, qps=9)
    with socket.socket() as reserved:  # bound but not listening: it keeps the port and refuses connections
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with ExporterProcess(config(f"http://127.0.0.1:{port}", [section], scrape_interval="10m")) as exporter:
            until(lambda: total(exporter.scrape(), "cams_api_retries_total") >= 3 * 5, "retries are used up")
            assert {code for _, code in errors(exporter.scrape())} == {"connection_error"}
            with Simulator(world, port=port):
                until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all are verified")


def test_the_second_half_of_a_key_that_comes_late_is_used_soon_whatever_the_interval(tmp_path: Path) -> None:
    """First a key without its secret, then the secret of another key, then the right secret."""
    world = World()
    section = fleet(world, 5, qps=9)
    key, secret = tmp_path / "id", tmp_path / "secret"
    key.write_text("key-main")
    secret.write_text("of-the-old-key")
    section["credentials"] = {
        "type": "access_key",
        "access_key_id_file": str(key),
        "access_key_secret_file": str(secret),
    }
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10m")) as exporter,
    ):
        until(lambda: value(exporter.scrape(), "cams_account_up") == 0, "the account is refused")
        fresh = secret.with_suffix(".new")
        fresh.write_text("secret-main")
        fresh.replace(secret)
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all are verified")
        until(lambda: value(exporter.scrape(), "cams_account_up") == 1, "the account is accepted")


def test_a_key_that_comes_late_is_used_soon_whatever_the_interval(tmp_path: Path) -> None:
    """The volume of the key is mounted late.  An account of one number is not even refused by then."""
    world = World()
    sections = [fleet(world, count, name=name, start=start) for name, count, start in (("one", 1, 0), ("five", 5, 10))]
    for section in sections:
        name = section["name"]
        (tmp_path / name).write_text("LTAI-of-nobody")
        section["credentials"] = {
            "type": "access_key",
            "access_key_id": f"key-{name}",
            "access_key_secret_file": str(tmp_path / name),
        }
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections, scrape_interval="10m")) as exporter,
    ):
        for name in ("one", "five"):
            until(lambda name=name: len(world.arrivals(name)) >= 2, f"{name} was asked")  # type: ignore[misc] # bound now
            (tmp_path / name).write_text(f"secret-{name}")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all are verified")
