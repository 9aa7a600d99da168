"""The client against the simulator, which checks every signature with its own code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import Credential, PhoneNumber
from exporter.simulator import Key, Refusal, Simulator, Throttle, World, faults
from tests.support.clients import FixedCredentials, client_of, error_of, gated
from tests.support.clock import FakeClock
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import authority, tls_context

KEY, SECRET = "LTAIsimulated", "simulated-secret"
SPACE = "cams kei~*/&=ü"


@pytest.fixture
def world() -> World:
    world = World(seed=1)
    world.add_account("main", KEY, SECRET, rate_limit=1000)
    return world


@pytest.fixture
def simulator(world: World) -> Iterator[Simulator]:
    with Simulator(world) as running:
        yield running


def known(world: World, index: int = 0, status: str = "VERIFIED", space: str = "cams-kei0001") -> PhoneNumber:
    who = number(index, space=space)
    world.add_number("main", space, who.phone_number, status)
    return who


def keys(secret: str = SECRET, token: str = "", key: str = KEY) -> FixedCredentials:
    return FixedCredentials(Credential(key, secret, token))


@pytest.mark.parametrize("status", ["VERIFIED", "NOT_VERIFIED", "EXPIRED", "SOMETHING_NEW"])
@pytest.mark.parametrize("space", ["cams-kei0001", SPACE])
def test_a_status(status: str, space: str, world: World, simulator: Simulator) -> None:
    """Also if encoding matters: signed and sent bytes must be the same."""
    who = known(world, status=status, space=space)
    with client_of(simulator.url, credentials=keys()) as client:
        answer = client.fetch(who)
    assert answer.status == status
    assert answer.phone_number_id == world.find_numbers(who.phone_number)[0].id
    assert world.outcomes() == {"OK": 1}


def test_over_tls_on_one_connection(world: World, tmp_path: Path) -> None:
    who = known(world)
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    with (
        Simulator(world, ssl_context=tls_context("127.0.0.1")) as simulator,
        client_of(simulator.url, ca_file=tmp_path / "ca.pem", credentials=keys()) as client,
    ):
        for _ in range(20):
            assert client.fetch(who).status == "VERIFIED"
        assert simulator.connections == 1


def test_a_slow_handshake_is_over_before_the_gate_opens(world: World, tmp_path: Path) -> None:
    """The request leaves when its slot is taken, even if the connection took long."""
    who = known(world)
    world.handshake_seconds = 0.3
    authority().cert_pem.write_to_path(tmp_path / "ca.pem")
    opened_at: list[float] = []
    with (
        Simulator(world, ssl_context=tls_context("127.0.0.1")) as simulator,
        client_of(simulator.url, ca_file=tmp_path / "ca.pem", credentials=keys()) as client,
    ):
        began_at = time.monotonic()
        client.fetch(who, gated(lambda: opened_at.append(time.monotonic())))
    (arrival,) = world.arrivals()
    assert opened_at[0] - began_at >= 0.3
    assert arrival.at >= opened_at[0]


def test_a_temporary_credential(world: World, simulator: Simulator) -> None:
    who = known(world)
    world.set_key("main", "STS.temporary", Key("s", "token/+="))
    with client_of(simulator.url, credentials=keys("s", "token/+=", "STS.temporary")) as client:
        assert client.fetch(who).status == "VERIFIED"
    with client_of(simulator.url, credentials=keys("s", "another", "STS.temporary")) as client:
        assert error_of(client, who).code.startswith("InvalidSecurityToken.")


@pytest.mark.parametrize(
    ("credentials", "code"),
    [(keys("wrong"), "SignatureDoesNotMatch"), (keys(key="LTAInobody"), "InvalidAccessKeyId.NotFound")],
)
def test_a_refused_key(credentials: FixedCredentials, code: str, world: World, simulator: Simulator) -> None:
    with client_of(simulator.url, credentials=credentials) as client:
        error = error_of(client, known(world))
    assert (error.code, error.kind) == (code, Kind.ACCOUNT)
    assert error.request_id


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal.UNSUBSCRIBED, Kind.ACCOUNT),
        (Refusal.FORBIDDEN, Kind.PERMISSION),
        (Refusal.PERMISSION_DENIED, Kind.PERMISSION),
    ],
)
def test_a_refused_account(refusal: Refusal, kind: Kind, world: World, simulator: Simulator) -> None:
    world.accounts["main"].refusal = refusal
    with client_of(simulator.url, credentials=keys()) as client:
        assert error_of(client, known(world)).kind is kind


@pytest.mark.parametrize("header", ["x-acs-retry-after", "x-ratelimit-user-api", "x-ratelimit-user"])
@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_throttle(header: str, status: int, world: World, simulator: Simulator) -> None:
    world.accounts["main"].rate_limit = 0
    world.accounts["main"].throttle = Throttle(status=status, header=header, pause_ms=1500)  # type: ignore[arg-type] # a Literal
    with client_of(simulator.url, credentials=keys()) as client:
        error = error_of(client, known(world))
    assert (error.kind, error.retry_after_seconds) == (Kind.THROTTLE, 1.5)


def test_a_number_of_somebody_else(simulator: Simulator) -> None:
    with client_of(simulator.url, credentials=keys()) as client:
        assert error_of(client, number()).kind is Kind.NUMBER


@pytest.mark.parametrize("ahead", [3600.0, -3600.0])
def test_a_wrong_clock_costs_one_request(ahead: float, world: World, simulator: Simulator) -> None:
    """The skew is measured from the refusal's Date; the next request is signed with the service's time."""
    who = known(world)
    world.clock_skew_seconds = ahead
    with client_of(simulator.url, credentials=keys()) as client:
        assert error_of(client, who).code.startswith("InvalidTimeStamp")
        assert client.fetch(who).status == "VERIFIED"
        assert abs(client.skew_seconds - ahead) < 30


FAULTS = {
    "reset": (faults.reset(), "connection_error"),
    "close": (faults.close(), "connection_error"),
    "truncated": (faults.truncated(), "connection_error"),
    "huge": (faults.huge(), "invalid_response"),
    "gzip bomb": (faults.gzip_bomb(), "invalid_response"),
    "html 200": (faults.html(200), "invalid_response"),
    "html 502": (faults.html(502), "http_502"),
    "bare 502": (faults.bare(502), "http_502"),
    "codeless 500": (faults.codeless(500), "http_500"),
    "redirect": (faults.redirect(), "http_302"),
    "invalid utf-8": (faults.invalid_utf8(), "invalid_response"),
    "nested": (faults.nested(), "invalid_response"),
    "wrong types": (faults.wrong_types(), "invalid_response"),
    "null data": (faults.null_data(), "invalid_response"),
    "error in 200": (faults.error(200, "Product.Unsubscript"), "Product.Unsubscript"),
    "hostile message": (faults.message(), "InvalidParameter.PhoneNumber"),
}


@pytest.mark.parametrize(("fault", "code"), FAULTS.values(), ids=FAULTS)
def test_a_fault_has_its_own_code_and_the_next_request_is_well(
    fault: faults.Fault, code: str, world: World, simulator: Simulator
) -> None:
    who = known(world)
    with client_of(simulator.url, credentials=keys()) as client:
        world.inject(fault)
        error = error_of(client, who)
        assert client.fetch(who).status == "VERIFIED"
    assert error.code == code
    assert len(error.message) <= 500


@pytest.mark.parametrize("fault", [faults.hang(), faults.drip_headers(), faults.drip_body()], ids=lambda it: it.name)
def test_a_fault_that_lasts_ends_with_the_deadline(fault: faults.Fault, world: World, simulator: Simulator) -> None:
    who = known(world)
    world.inject(fault)
    with client_of(simulator.url, credentials=keys(), timeout_seconds=0.5) as client:
        error = error_of(client, who)
    assert error.code == "timeout"


def test_no_worker_gets_another_ones_answer(world: World, simulator: Simulator) -> None:
    everyone = [known(world, index, status=f"STATUS_{index}") for index in range(40)]
    wrong: list[str] = []

    def work(client_numbers: list[PhoneNumber]) -> None:
        for who in client_numbers:
            try:
                if client.fetch(who).status != f"STATUS_{int(who.phone_number[5:])}":
                    wrong.append(who.phone_number)
            except ApiError as error:
                wrong.append(str(error))

    with client_of(simulator.url, credentials=keys(), max_connections=8) as client:
        threads = [threading.Thread(target=work, args=(everyone[worker::8],)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert wrong == []
    assert len(world.arrivals()) == 40


def test_the_measured_skew_changes_only_the_clients_signatures(world: World, simulator: Simulator) -> None:
    """A fake clock an hour behind stays an hour behind."""
    clock = FakeClock(now_unix=time.time() - 3600)
    who, before = known(world), clock.now_unix
    with client_of(simulator.url, credentials=keys(), clock=clock) as client:
        error_of(client, who)
        assert client.fetch(who).status == "VERIFIED"
    assert clock.unix() == before
