"""Reloads: a changed configuration takes effect as a whole, and unchanged accounts are not affected."""

from __future__ import annotations

import ssl
import threading
import urllib.request
from pathlib import Path
from typing import Any

import trustme

from exporter.simulator import Simulator, World
from exporter.simulator.window import busiest_second
from tests.support.exporter import ExporterProcess, errors, statuses, total, until, value
from tests.support.fleet import SPACE, config, fleet, never_throttle, phones
from tests.support.patience import PATIENCE_SECONDS

SUCCESS_TIME = "cams_phone_number_last_success_timestamp_seconds"
RELOAD_TIME = "cams_exporter_config_last_reload_success_timestamp_seconds"
RELOADED = "cams_exporter_config_last_reload_successful"


def reload(exporter: ExporterProcess, settings: dict[str, Any]) -> None:
    """Put `settings` in force by SIGHUP."""
    before = exporter.log.count("configuration reloaded")
    exporter.write_config(settings)
    exporter.reload()
    until(lambda: exporter.log.count("configuration reloaded") > before, "reloaded")


def open_files(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/fd").iterdir()))


def threads(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def test_numbers_that_stay_keep_their_status_and_counters_survive() -> None:
    world = World()
    section = fleet(world, 6, qps=10)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="5m")) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        before = exporter.scrape()
        kept = phones(6)[:4]
        section["numbers"] = section["numbers"][:4]
        exporter.write_config(config(simulator.url, [section], scrape_interval="5m"))
        exporter.reload()
        until(lambda: (value(exporter.scrape(), RELOAD_TIME) or 0) > (value(before, RELOAD_TIME) or 0), "reloaded")
        after = exporter.scrape()
        assert statuses(after) == dict.fromkeys(kept, "VERIFIED")
        for phone in kept:
            assert value(after, SUCCESS_TIME, phone_number=phone) == value(before, SUCCESS_TIME, phone_number=phone)
        assert total(after, "cams_api_requests_total") >= total(before, "cams_api_requests_total") == 6


def test_a_bad_file_keeps_the_old_configuration_and_every_fault_is_logged() -> None:
    world = World()
    section = fleet(world, 2)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        exporter.config_path.write_text("accounts: []\nscrape_interval: never\nodd: 1\n")
        exporter.reload()
        until(
            lambda: value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 0,
            "the reload failed",
        )
        assert len(exporter.statuses()) == 2
        places = ("accounts", "scrape_interval", "odd")
        until(lambda: all(place in exporter.log for place in places), "every fault is logged")  # after the metric
        exporter.write_config(config(simulator.url, [section]))
        exporter.reload()
        until(lambda: value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 1, "fixed")


def test_a_changed_qps_takes_effect_on_the_next_slot() -> None:
    """A lower and a higher rate in the middle of a first pass: no number is polled again, and phases stay the same."""
    world = World()
    section = fleet(world, 40, qps=8)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10m")) as exporter,
    ):
        until(lambda: len(world.arrivals()) >= 6, "polling at 8 a second")
        reload(exporter, config(simulator.url, [{**section, "qps": 1}], scrape_interval="10m"))
        before = len(world.arrivals())
        until(lambda: len(world.arrivals()) >= before + 5, "polling at one a second")
        slow = world.arrivals()[before + 2 :]  # two may have been in flight
        assert busiest_second([arrival.at for arrival in slow], [arrival.since for arrival in slow]) <= 2
        assert value(exporter.scrape(), "cams_api_budget_qps") == 1
        reload(exporter, config(simulator.url, [section], scrape_interval="10m"))
        assert value(exporter.scrape(), "cams_api_budget_qps") == 8
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
    polled = [arrival.phone_number for arrival in world.arrivals()]
    assert len(polled) == len(set(polled)) == 40
    assert world.surely_in_a_second("main") <= 10


def test_numbers_that_stay_are_polled_on_and_those_that_left_are_not() -> None:
    world = World()
    section = fleet(world, 8, qps=8)
    leaving, staying = set(phones(8)[:2]), set(phones(8)[2:])

    def polled_since(before: int) -> set[str]:
        return {arrival.phone_number for arrival in world.arrivals()[before:]}

    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: polled_since(0) == leaving | staying, "all are polled")
        section["numbers"] = section["numbers"][2:]
        reload(exporter, config(simulator.url, [section]))
        for what in ("what was under way is answered", "each is polled once more"):
            before = len(world.arrivals())
            until(lambda before=before: staying <= polled_since(before), what)  # type: ignore[misc] # bound now
        assert polled_since(before) == staying


def test_a_label_that_is_masked_from_now_on_is_masked_everywhere_and_the_state_is_kept() -> None:
    world = World()
    section = fleet(world, 2)
    section["numbers"].append({"phone_number": "447700999999", "cust_space_id": SPACE})
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10m")) as exporter,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        before = exporter.scrape()
        reload(exporter, config(simulator.url, [section], scrape_interval="10m", phone_number_label="masked"))
        after = exporter.scrape()
        assert statuses(after) == {"44770*****00": "VERIFIED", "44770*****01": "VERIFIED", "44770*****99": "UNKNOWN"}
        assert value(after, SUCCESS_TIME, phone_number="44770*****00") == value(
            before, SUCCESS_TIME, phone_number=phones(1)[0]
        )
        for page in ("/metrics", "/"):
            for phone in (*phones(2), "447700999999"):
                assert phone not in exporter.get(page)[1].decode()


def test_another_key_is_used_at_once_and_a_refused_account_is_accepted_again() -> None:
    """Not after an interval, which is 10 minutes here."""
    world = World()
    section = fleet(world, 3, qps=10)
    wrong = {**section, "credentials": {**section["credentials"], "access_key_secret": "mistyped"}}
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [wrong], scrape_interval="10m")) as exporter,
    ):
        until(lambda: value(exporter.scrape(), "cams_account_up") == 0, "refused")
        reload(exporter, config(simulator.url, [section], scrape_interval="10m"))
        until(lambda: value(exporter.scrape(), "cams_account_up") == 1, "accepted again")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")


def test_another_endpoint_gets_all_requests_from_then_on_also_those_that_waited_for_their_slot() -> None:
    """One budget for both: the account is the same."""
    old, new = World(), World()
    section = fleet(old, 30, qps=8)
    fleet(new, 30)
    never_throttle(old)
    never_throttle(new)
    with Simulator(old) as first, Simulator(new) as second:
        with ExporterProcess(config(first.url, [section])) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            reload(exporter, config(second.url, [section]))
            until(lambda: len(new.arrivals()) >= 15, "the new endpoint is asked")
            asked = len(old.arrivals())  # including requests in flight
            until(lambda: len(new.arrivals()) >= 30, "it goes on there")
            assert len(old.arrivals()) == asked
            assert errors(exporter.scrape()) == {}
        together = sorted([*old.arrivals(), *new.arrivals()], key=lambda arrival: arrival.at)
        assert busiest_second([arrival.at for arrival in together], [arrival.since for arrival in together]) <= 10


def test_a_ca_file_with_other_certificates_is_read_again(tmp_path: Path) -> None:
    authority, ca_file, world = trustme.CA(), tmp_path / "ca.pem", World()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trustme.CA().cert_pem.write_to_path(ca_file)
    section = fleet(world, 2, qps=10)
    with Simulator(world, ssl_context=context) as simulator:
        settings = config(simulator.url, [section], api_ca_file=str(ca_file))
        with ExporterProcess(settings) as exporter:
            until(lambda: total(exporter.scrape(), "cams_api_errors_total", code="tls_error") >= 2, "not trusted")
            authority.cert_pem.write_to_path(ca_file)
            reload(exporter, settings)
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")


def test_reloads_by_signal_and_by_http_at_the_same_time_all_take_their_turn() -> None:
    """If reloads overlap, the last version of the file is in force, and each account has one poller."""
    world = World()
    sections = [fleet(world, 4, name=name, start=100 * i, qps=5) for i, name in enumerate(("one", "two", "three"))]
    never_throttle(world)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections), "--web.enable-lifecycle") as exporter,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        answers: list[int] = []

        def post() -> None:
            request = urllib.request.Request(f"{exporter.url}/-/reload", method="POST", data=b"")
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                answers.append(answer.status)

        for turn in range(8):
            exporter.write_config(config(simulator.url, sections[: 1 + turn % 3], api_timeout=f"{60 + turn}s"))
            posts = [threading.Thread(target=post) for _ in range(3)]
            for thread in posts:
                thread.start()
                exporter.reload()
            for thread in posts:
                thread.join(PATIENCE_SECONDS)
        reload(exporter, config(simulator.url, sections))
        assert answers == [200] * 24
        until(lambda: len(exporter.statuses()) == 12, "the last one is in force")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        assert errors(exporter.scrape()) == {}
        assert value(exporter.scrape(), RELOADED) == 1
        assert all(world.surely_in_a_second(name) <= 6 for name in ("one", "two", "three"))
        assert "Traceback" not in exporter.log


def test_a_hundred_reloads_with_requests_under_way_leak_nothing() -> None:
    """No thread, no socket, no series.  An account that is added and removed exceeds no budget and counts no error."""
    world = World(latency_seconds=(0.1, 0.4))
    staying, coming = fleet(world, 10, qps=8), fleet(world, 10, name="coming", start=100, qps=8)
    never_throttle(world)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [staying, coming])) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        until(lambda: len(world.arrivals()) >= 40, "a steady course")
        series_before = {name for name, _ in exporter.scrape()}
        files_before, threads_before = open_files(exporter), threads(exporter)
        for turn in range(100):
            accounts = [staying] if turn % 2 == 0 else [staying, coming]
            reload(exporter, config(simulator.url, accounts, api_timeout=f"{60 + turn % 7}s"))  # a new client each time
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        until(lambda: open_files(exporter) <= files_before + 4, "sockets are closed")
        until(lambda: threads(exporter) <= threads_before + 6, "threads end")
        scraped = exporter.scrape()
        assert {name for name, _ in scraped} == series_before
        assert len(exporter.statuses()) == 20
        assert errors(scraped) == {}
        assert world.surely_in_a_second("main") <= 10
        assert world.surely_in_a_second("coming") <= 10
        reload(exporter, config(simulator.url, [staying]))
        assert not [labels for _, labels in exporter.scrape() if ("account", "coming") in labels]
