"""All faults of the API and the network, on real sockets.

In the matrix each fault hits one number of its own account, all at the same time, while the other numbers are polled.
The fault has its own code, and does not affect other polls, scrapes and the budget.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import trustme

from exporter.simulator import Simulator, World, faults
from exporter.simulator.faults import Fault
from tests.support.exporter import ExporterProcess, Series, statuses, total, until, value
from tests.support.fleet import config, fleet, never_throttle, phones
from tests.support.patience import PATIENCE_SECONDS

COUNT = 6
CODES = "cams_api_errors_total"
LAST_POLL = "cams_phone_number_last_poll_success"


@dataclass(frozen=True)
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
    "message of 1 MB": Case(faults.message("x" * 1_000_000), "InvalidParameter.PhoneNumber"),
    "message beyond the bound": Case(faults.message("x" * 1_100_000), "http_400"),
    "code of 1 MB": Case(faults.error(400, "X" * 1_000_000), "X" * 128),
    "hostile code": Case(faults.error(400, 'a"b\\c\nd{e="f"} 1'), 'a"b\\c d{e="f"} 1'),
    "garbage": Case(faults.raw(b"\x00\xff garbage\r\n\r\n"), "invalid_response"),
    "empty status": Case(faults.status(""), "invalid_response"),
    "a status that is a number": Case(faults.status(1), "invalid_response"),
}
SLOW = {"hang", "drip headers", "drip body"}
"""The faults that end by the client's deadline.  The others get a longer deadline, for a busy machine."""

NUMBERS = 3
QPS = 4


@dataclass
class Evidence:
    """The results of the matrix: exposition and polls during the faults, and after they were fixed."""

    accounts: Mapping[str, str]
    numbers: Mapping[str, list[str]]
    during: Series
    polls: Mapping[str, int]
    after: Series
    busiest: Mapping[str, int]
    healthy: set[int]
    log: str

    def errors(self, case: str) -> dict[str, float]:
        """Errors of the case's account by code."""
        account = self.accounts[case]
        return {
            dict(labels)["code"]: number
            for (name, labels), number in self.during.items()
            if name == CODES and number and ("account", account) in labels
        }


@pytest.fixture(scope="module")
def evidence() -> Iterator[Evidence]:
    """Runs all cases at once.  It waits for the facts that the tests assert, but asserts nothing itself."""
    world = World()
    accounts = {case: f"account{index:02}" for index, case in enumerate(CASES)}
    sections = {
        case: fleet(world, NUMBERS, name=accounts[case], start=100 * i, qps=QPS) for i, case in enumerate(CASES)
    }
    numbers = {case: phones(NUMBERS, 100 * i) for i, case in enumerate(CASES)}
    prompt = [section for case, section in sections.items() if case not in SLOW]
    slow = [section for case, section in sections.items() if case in SLOW]
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, prompt)) as patient,
        ExporterProcess(config(simulator.url, slow, api_timeout="2s")) as hasty,
    ):

        def scraped() -> Series:
            return {**patient.scrape(), **hasty.scrape()}  # their accounts differ

        until(lambda: set(statuses(scraped()).values()) == {"VERIFIED"}, "all verified")
        for case, (victim, *_) in numbers.items():
            world.find_numbers(victim)[0].fault = CASES[case].fault
        began, healthy, during, after = world.clock.monotonic(), set[int](), Series(), Series()
        polls: dict[str, int] = {}

        def all_seen() -> bool:
            nonlocal during, polls
            during, polls = scraped(), _polls_since(world, began)
            healthy.update(exporter.get("/-/healthy")[0] for exporter in (patient, hasty))
            others = [phone for _, *others in numbers.values() for phone in others]
            return (
                all(total(during, CODES, account=accounts[case], code=CASES[case].code) >= 2 for case in CASES)
                and all(polls.get(phone, 0) >= 3 for phone in others)
                and total(during, LAST_POLL) == len(others)
            )

        def all_recover() -> bool:
            nonlocal after
            after = scraped()
            return total(after, LAST_POLL) == len(CASES) * NUMBERS

        with contextlib.suppress(AssertionError):
            until(all_seen, "each fault meets its number, and the others are polled")
        for victim, *_ in numbers.values():
            world.find_numbers(victim)[0].fault = None
        with contextlib.suppress(AssertionError):
            until(all_recover, "all recover")
        busiest = {case: world.surely_in_a_second(account) for case, account in accounts.items()}
        yield Evidence(accounts, numbers, during, polls, after, busiest, healthy, patient.log + hasty.log)


def _polls_since(world: World, began: float) -> dict[str, int]:
    polls: dict[str, int] = {}
    for arrival in world.arrivals():
        if arrival.at >= began:
            polls[arrival.phone_number] = polls.get(arrival.phone_number, 0) + 1
    return polls


class TestMatrix:
    """One number of each account meets a fault."""

    @pytest.mark.parametrize("case", list(CASES))
    def test_a_fault_has_its_own_code_and_is_no_status(self, evidence: Evidence, case: str) -> None:
        victim = evidence.numbers[case][0]
        errors = evidence.errors(case)
        assert set(errors) == {CASES[case].code}
        assert errors[CASES[case].code] >= 2
        assert value(evidence.during, LAST_POLL, phone_number=victim) == 0
        assert statuses(evidence.during)[victim] == "VERIFIED"  # the last answer, not yet stale

    @pytest.mark.parametrize("case", list(CASES))
    def test_the_other_numbers_are_polled_and_the_budget_holds(self, evidence: Evidence, case: str) -> None:
        """`qps: 4`, although the retries of the failing number fill the budget."""
        for phone in evidence.numbers[case][1:]:
            assert evidence.polls[phone] >= 3
            assert value(evidence.during, LAST_POLL, phone_number=phone) == 1
            assert statuses(evidence.during)[phone] == "VERIFIED"
        assert evidence.busiest[case] <= QPS + 1

    @pytest.mark.parametrize("case", list(CASES))
    def test_a_number_recovers_when_the_fault_is_over(self, evidence: Evidence, case: str) -> None:
        for phone in evidence.numbers[case]:
            assert value(evidence.after, LAST_POLL, phone_number=phone) == 1

    def test_scrapes_and_health_are_undisturbed(self, evidence: Evidence) -> None:
        assert evidence.healthy == {200}
        assert "Traceback" not in evidence.log

    def test_hostile_texts_do_not_break_the_log(self, evidence: Evidence) -> None:
        """One line each, and no line is too long for a terminal."""
        for line in evidence.log.splitlines():
            assert line.startswith("ts=")
            assert len(line) < 5000


@contextmanager
def polled(
    world: World, *, ssl_context: ssl.SSLContext | None = None, **more: object
) -> Iterator[tuple[Simulator, ExporterProcess]]:
    section = fleet(world, COUNT, qps=9)
    never_throttle(world)
    with (
        Simulator(world, ssl_context=ssl_context) as simulator,
        ExporterProcess(config(simulator.url, [section], **more)) as exporter,
    ):
        yield simulator, exporter


def assert_others_are_polled(world: World, victim: str) -> None:
    others = set(phones(COUNT)) - {victim}
    before = _polls_since(world, 0.0)
    until(
        lambda: all(_polls_since(world, 0.0).get(phone, 0) >= before.get(phone, 0) + 3 for phone in others),
        "the others are polled",
    )
    assert world.surely_in_a_second("main") <= 10


def test_what_a_server_sends_beyond_its_answer_is_never_taken_for_the_next_one() -> None:
    """A too long body ends at Content-Length, and the connection is not used again."""
    world = World()
    victim = phones(COUNT)[2]
    with polled(world) as (simulator, exporter):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.find_numbers(victim)[0].fault = faults.overlong()
        connections = simulator.connections
        assert_others_are_polled(world, victim)
        scraped = exporter.scrape()
        assert total(scraped, CODES) == 0
        assert set(statuses(scraped).values()) == {"VERIFIED"}
        until(lambda: simulator.connections > connections, "another connection")


def test_an_unforeseen_or_hostile_status_is_shown_verbatim_and_bounded() -> None:
    world = World()
    first, second, third = phones(3)
    with polled(world) as (_, exporter):
        world.find_numbers(first)[0].status = "REVOKED"
        world.find_numbers(second)[0].fault = faults.status('a "status"\nwith \\ everything')
        world.find_numbers(third)[0].fault = faults.status("x" * 1_000_000)
        until(lambda: exporter.statuses()[first] == "REVOKED", "an unforeseen status")
        until(lambda: exporter.statuses()[second] == 'a "status"\nwith \\ everything', "a hostile status")
        until(lambda: exporter.statuses()[third].startswith("xxx"), "a huge status")
        assert len(exporter.statuses()[third]) <= 200
        assert len(exporter.get()[1]) < 200_000
        assert_others_are_polled(world, victim=first)


def test_unknown_error_codes_by_the_thousand_stay_bounded() -> None:
    world = World()
    world.add_account("healthy", "key-healthy", "secret-healthy")
    sections = [fleet(world, 150, qps=400, quota=500), fleet(World(), 1, name="healthy", start=500)]
    world.add_number("healthy", "cams-test", phones(1, 500)[0])
    world.accounts["main"].rate_limit = 10_000
    world.accounts["main"].fault = faults.unknown_codes()
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections)) as exporter:
        until(lambda: world.outcomes("main")["unknown_codes"] >= 1000, "a thousand codes")
        until(lambda: total(exporter.scrape(), CODES, account="main", code="other") >= 800, "most are the same to it")
        until(lambda: exporter.statuses()[phones(1, 500)[0]] == "VERIFIED", "the other account is polled")
        scraped = exporter.scrape()
        codes = {dict(labels)["code"] for name, labels in scraped if name == CODES and ("account", "main") in labels}
        assert len(codes) == 64
        assert value(scraped, "cams_account_up", account="main") == 1
        assert exporter.get("/-/healthy")[0] == 200


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_a_slow_tls_handshake_is_a_timeout_and_the_other_numbers_are_polled(authority: trustme.CA) -> None:
    world = World()
    with (
        authority.cert_pem.tempfile() as ca_file,
        polled(world, ssl_context=tls(authority.issue_cert("127.0.0.1")), api_ca_file=ca_file, api_timeout="2s") as (
            simulator,
            exporter,
        ),
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        connections = simulator.connections
        world.handshake_seconds = 30.0
        world.inject(faults.connection_close(), connections)  # so that some poll has to connect
        until(lambda: simulator.connections > connections, "a new connection")
        world.handshake_seconds = 0.0
        assert_others_are_polled(world, victim="")
        until(lambda: total(exporter.scrape(), CODES, code="timeout") >= 1, "a timeout")
        scraped = exporter.scrape()
        assert total(scraped, CODES) == total(scraped, CODES, code="timeout")
        assert exporter.get("/-/healthy")[0] == 200


class TestNoWayToTheApi:
    """No number can be polled: no status is known, attempts stay within the budget, and scrapes work."""

    QPS = 5

    def check(
        self, endpoint: str, code: str, *, api_timeout: str = "60s", env: Mapping[str, str] | None = None, **api: str
    ) -> str:
        section = fleet(World(), 20, qps=self.QPS)
        settings = config(
            endpoint, [section], api_timeout=api_timeout, **{f"api_{key}": text for key, text in api.items()}
        )
        began = time.monotonic()
        with ExporterProcess(settings, env=env) as exporter:
            until(lambda: total(exporter.scrape(), CODES, code=code) >= 10, f"errors {code}, and attempts go on")
            scraped = exporter.scrape()
            assert total(scraped, CODES) <= 1 + self.QPS * (time.monotonic() - began)
            assert total(scraped, CODES) == total(scraped, CODES, code=code)
            assert set(statuses(scraped).values()) == {"UNKNOWN"}
            assert value(scraped, "cams_account_up") == 1
            assert exporter.get("/-/healthy")[0] == 200
            assert "Traceback" not in exporter.log
            return exporter.log

    def test_a_refused_connection_is_a_connection_error(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, not listening
            self.check(f"http://127.0.0.1:{taken.getsockname()[1]}", "connection_error")

    def test_a_name_that_does_not_resolve_is_a_connection_error(self) -> None:
        quick = {"RES_OPTIONS": "timeout:1 attempts:1", "LOCALDOMAIN": "."}  # also if no name server answers
        log = self.check("https://cams.invalid", "connection_error", env=quick)
        assert "looking up the host name cams.invalid" in log

    def test_a_handshake_that_never_comes_is_a_timeout(self, authority: trustme.CA) -> None:
        world = World()
        world.handshake_seconds = 60.0
        with (
            authority.cert_pem.tempfile() as ca_file,
            Simulator(world, ssl_context=tls(authority.issue_cert("127.0.0.1"))) as simulator,
        ):
            self.check(simulator.url, "timeout", api_timeout="1s", ca_file=ca_file)

    def test_an_expired_certificate_is_a_tls_error(self, authority: trustme.CA) -> None:
        expired = authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        with authority.cert_pem.tempfile() as ca_file, Simulator(World(), ssl_context=tls(expired)) as simulator:
            assert "certificate has expired" in self.check(simulator.url, "tls_error", ca_file=ca_file)

    def test_an_untrusted_certificate_is_a_tls_error(self, authority: trustme.CA) -> None:
        unknown = trustme.CA().issue_cert("127.0.0.1")
        with authority.cert_pem.tempfile() as ca_file, Simulator(World(), ssl_context=tls(unknown)) as simulator:
            self.check(simulator.url, "tls_error", ca_file=ca_file)

    def test_a_proxy_that_refuses_is_a_connection_error_and_its_password_is_not_shown(self) -> None:
        with refusing_proxy() as address:
            proxy = {"HTTPS_PROXY": f"http://someone:pr0xy-s3cret@{address}"}
            log = self.check("https://cams.ap-southeast-1.aliyuncs.com", "connection_error", env=proxy)
        assert "HTTP 403" in log
        assert "pr0xy-s3cret" not in log


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
                with peer, contextlib.suppress(OSError):  # the exporter ends
                    peer.settimeout(PATIENCE_SECONDS)
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()
