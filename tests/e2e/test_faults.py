"""Everything the API and the network can do to one number, on real sockets.

In each case one number meets the fault while others are polled: the fault has its own code, and the others' polls, the
scrape and the budget are undisturbed.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import trustme

from exporter.simulator import Simulator, World, faults
from exporter.simulator.faults import Fault
from tests.support.exporter import ExporterProcess, statuses, total, until, value
from tests.support.fleet import config, fleet, phones

COUNT = 6
CODES = "cams_api_errors_total"


@dataclass
class Case:
    fault: Fault
    code: str


CASES = {
    "reset": Case(faults.reset(), "connection_error"),
    "reset in the answer": Case(faults.reset(after_bytes=20), "connection_error"),
    "closed without an answer": Case(faults.close(), "connection_error"),
    "hang": Case(faults.hang(), "timeout"),
    "drip headers": Case(faults.drip_headers(), "timeout"),
    "drip body": Case(faults.drip_body(), "timeout"),
    "truncated": Case(faults.truncated(), "connection_error"),
    "200 MB": Case(faults.huge(200), "invalid_response"),
    "gzip bomb": Case(faults.gzip_bomb(), "invalid_response"),
    "HTML 200": Case(faults.html(200), "invalid_response"),
    "HTML 502": Case(faults.html(502), "http_502"),
    "bare 503": Case(faults.bare(503), "http_503"),
    "500 without a code": Case(faults.codeless(500), "http_500"),
    "invalid UTF-8": Case(faults.invalid_utf8(), "invalid_response"),
    "deep nesting": Case(faults.nested(), "invalid_response"),
    "wrong types": Case(faults.wrong_types(), "invalid_response"),
    "null Data": Case(faults.null_data(), "invalid_response"),
    "redirect": Case(faults.redirect(), "http_302"),
    "200 with an error code": Case(faults.error(200, "Product.Unsubscript"), "Product.Unsubscript"),
    "hostile message": Case(faults.message(), "InvalidParameter.PhoneNumber"),
    "garbage": Case(faults.raw(b"\x00\xff garbage\r\n\r\n"), "invalid_response"),
    "empty status": Case(faults.status(""), "invalid_response"),
    "a status that is a number": Case(faults.status(1), "invalid_response"),
}


@contextmanager
def polled(world: World, *, ssl_context: ssl.SSLContext | None = None, **more: object) -> Iterator[ExporterProcess]:
    section = fleet(world, COUNT, qps=9)
    with (
        Simulator(world, ssl_context=ssl_context) as simulator,
        ExporterProcess(config(simulator.url, [section], api_timeout="2s", **more)) as exporter,
    ):
        yield exporter


def assert_undisturbed(exporter: ExporterProcess, world: World, victim: str) -> None:
    """The other numbers go on being polled, each once a second or so; scrapes answer; the budget holds."""
    others = set(phones(COUNT)) - {victim}
    before = {phone: sum(a.phone_number == phone for a in world.arrivals()) for phone in others}
    began = time.monotonic()
    until(
        lambda: all(sum(a.phone_number == p for a in world.arrivals()) >= n + 3 for p, n in before.items()),
        "the others are polled",
    )
    assert time.monotonic() - began < 15.0
    began = time.monotonic()
    scraped = exporter.scrape()
    assert time.monotonic() - began < 1.0
    shown = statuses(scraped)
    assert {shown[phone] for phone in others} == {"VERIFIED"}
    assert world.busiest_second("main") <= 10
    assert exporter.get("/-/healthy")[0] == 200
    assert "Traceback" not in exporter.log


@pytest.mark.parametrize("name", list(CASES))
def test_one_numbers_fault_has_its_code_and_disturbs_nothing_else(name: str) -> None:
    case, world = CASES[name], World()
    victim = phones(COUNT)[2]
    with polled(world) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.find_numbers(victim)[0].fault = case.fault
        until(lambda: total(exporter.scrape(), CODES, code=case.code) >= 2, f"errors {case.code}")
        scraped = exporter.scrape()
        assert total(scraped, CODES) == total(scraped, CODES, code=case.code)
        assert value(scraped, "cams_phone_number_last_poll_success", phone_number=victim) == 0
        assert statuses(scraped)[victim] == "VERIFIED"  # the last answer, not yet stale
        assert_undisturbed(exporter, world, victim)
        world.find_numbers(victim)[0].fault = None
        until(
            lambda: value(exporter.scrape(), "cams_phone_number_last_poll_success", phone_number=victim) == 1,
            "the number recovers",
        )


def test_what_a_server_sends_beyond_its_answer_is_never_taken_for_the_next_one() -> None:
    """An over-long body ends where Content-Length says; the connection is not used again."""
    world = World()
    victim = phones(COUNT)[2]
    with polled(world) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.find_numbers(victim)[0].fault = faults.overlong()
        assert_undisturbed(exporter, world, victim)
        scraped = exporter.scrape()
        assert total(scraped, CODES) == 0
        assert set(statuses(scraped).values()) == {"VERIFIED"}


def test_an_unforeseen_or_hostile_status_is_shown_verbatim_and_bounded() -> None:
    world = World()
    first, second, third = phones(3)
    with polled(world) as exporter:
        world.find_numbers(first)[0].status = "REVOKED"
        world.find_numbers(second)[0].fault = faults.status('a "status"\nwith \\ everything')
        world.find_numbers(third)[0].fault = faults.status("x" * 1_000_000)
        until(lambda: exporter.statuses()[first] == "REVOKED", "an unforeseen status")
        until(lambda: exporter.statuses()[second] == 'a "status"\nwith \\ everything', "a hostile status")
        until(lambda: exporter.statuses()[third].startswith("xxx"), "a huge status")
        assert len(exporter.statuses()[third]) <= 200
        assert len(exporter.get()[1]) < 200_000


def test_unknown_error_codes_by_the_thousand_stay_bounded() -> None:
    world = World()
    victim = phones(COUNT)[0]
    with polled(world) as exporter:
        for phone in phones(COUNT)[:4]:
            world.find_numbers(phone)[0].fault = faults.unknown_codes()
        until(lambda: total(exporter.scrape(), CODES, code="other") >= 5, "codes beyond the bound", seconds=120)
        codes = {dict(labels)["code"] for name, labels in exporter.scrape() if name == CODES}
        assert len(codes) <= 64
        assert victim in exporter.statuses()


def test_a_slow_tls_handshake_is_a_timeout_and_scrapes_go_on() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    world = World()
    world.handshake_seconds = 30.0
    with authority.cert_pem.tempfile() as ca_file, polled(world, ssl_context=server, api_ca_file=ca_file) as exporter:
        until(lambda: total(exporter.scrape(), CODES, code="timeout") >= 3, "timeouts")
        assert set(exporter.statuses().values()) == {"UNKNOWN"}
        world.handshake_seconds = 0.0
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "recovery")


def test_a_certificate_nobody_vouches_for_and_an_expired_one_are_tls_errors() -> None:
    import datetime as dt

    authority = trustme.CA()
    expired = authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    unknown = trustme.CA().issue_cert("127.0.0.1")
    for certificate in (expired, unknown):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(server)
        with (
            authority.cert_pem.tempfile() as ca_file,
            polled(World(), ssl_context=server, api_ca_file=ca_file) as exporter,
        ):
            until(lambda: total(exporter.scrape(), CODES, code="tls_error") >= 3, "tls errors")
            assert set(exporter.statuses().values()) == {"UNKNOWN"}
            assert total(exporter.scrape(), CODES, code="connection_error") == 0


def test_a_name_that_does_not_resolve_is_a_connection_error() -> None:
    section = fleet(World(), COUNT)
    with ExporterProcess(config("https://cams.invalid", [section], api_timeout="2s")) as exporter:
        until(
            lambda: (
                total(exporter.scrape(), CODES, code="connection_error")
                + total(exporter.scrape(), CODES, code="timeout")
                >= 3
            ),
            "errors",
        )
        assert exporter.get("/-/healthy")[0] == 200


def test_a_proxy_that_refuses_is_a_connection_error_and_its_password_is_not_shown() -> None:
    section = fleet(World(), COUNT)
    with refusing_proxy() as address:
        proxy = f"http://someone:pr0xy-s3cret@{address}"
        with ExporterProcess(
            config("https://cams.ap-southeast-1.aliyuncs.com", [section], api_timeout="2s"), env={"HTTPS_PROXY": proxy}
        ) as exporter:
            until(lambda: total(exporter.scrape(), CODES, code="connection_error") >= 3, "errors")
            assert "pr0xy-s3cret" not in exporter.log


@contextmanager
def refusing_proxy() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    peer, _ = listener.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.settimeout(5)
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()
