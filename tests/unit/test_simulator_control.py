"""The simulator's control surface."""

from __future__ import annotations

import json
from typing import Any

import pytest

from exporter.simulator import Refusal, Request, Simulator, World, faults
from exporter.simulator.control import answer
from exporter.simulator.gateway import decide
from tests.support.clock import FakeClock
from tests.support.simulated import PHONE, SECRET, SPACE, Call, Connection, care_world


@pytest.fixture
def world() -> World:
    return care_world(clock=FakeClock())


def control(world: World, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    reply = answer(world, Request(method, path, {}, body))
    return reply.status, json.loads(reply.body)


def test_the_state_shows_accounts_and_numbers_as_they_are_now(world: World) -> None:
    decide(world, Call(unix=world.clock.unix()).request())
    world.accounts["care"].refusal = Refusal.FORBIDDEN
    world.find_numbers(PHONE)[0].fault = faults.hang()
    status, state = control(world, "GET", "/_simulator/state")
    assert status == 200
    assert state == {
        "elapsed_seconds": 0.0,
        "accounts": [
            {
                "name": "care",
                "rate_limit": 10,
                "refusal": "Forbidden.RAM",
                "busiest_second": 1,
                "outcomes": {"OK": 1},
                "numbers": [{"cust_space_id": SPACE, "phone_number": PHONE, "status": "VERIFIED", "fault": "hang"}],
            }
        ],
    }


def test_no_secret_is_shown(world: World) -> None:
    for page in ("state", "arrivals"):
        assert SECRET not in json.dumps(control(world, "GET", f"/_simulator/{page}"))


def test_arrivals_newest_last(world: World) -> None:
    decide(world, Call(unix=world.clock.unix()).request())
    decide(world, Call(unix=world.clock.unix(), secret="wrong").request())
    _, arrivals = control(world, "GET", "/_simulator/arrivals")
    assert [arrival["outcome"] for arrival in arrivals] == ["OK", "SignatureDoesNotMatch"]
    assert arrivals[0] == {
        "at": 1000.0,
        "unix": world.clock.unix(),
        "account": "care",
        "cust_space_id": SPACE,
        "phone_number": PHONE,
        "outcome": "OK",
        "since": 1000.0,
    }


def test_a_status_is_set(world: World) -> None:
    status, numbers = control(world, "POST", f"/_simulator/numbers/{PHONE}", b'{"status": "EXPIRED"}')
    assert (status, numbers[0]["status"]) == (200, "EXPIRED")
    assert world.find_numbers(PHONE)[0].status == "EXPIRED"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"status": 1}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_status_changes_nothing(world: World, body: bytes) -> None:
    status, error = control(world, "POST", f"/_simulator/numbers/{PHONE}", body)
    assert (status, error) == (400, {"error": 'the body must be {"status": "..."}'})
    assert world.find_numbers(PHONE)[0].status == "VERIFIED"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_simulator/numbers/000"),
        ("POST", "/_simulator/state"),
        ("GET", f"/_simulator/numbers/{PHONE}"),
        ("GET", "/_simulator/"),
    ],
)
def test_there_is_nothing_else(world: World, method: str, path: str) -> None:
    assert control(world, method, path)[0] == 404


def test_a_served_world_is_watched_and_changed_without_counting_as_a_request() -> None:
    with Simulator(care_world(), with_control=True) as simulator, Connection(simulator.url) as connection:
        connection.send("POST", f"/_simulator/numbers/{PHONE}", body=b'{"status": "EXPIRED"}')
        assert connection.send("GET", "/_simulator/arrivals").document == []
        answered = connection.call(Call(host=connection.host)).document
        assert answered["Data"]["CodeVerificationStatus"] == "EXPIRED"
        assert len(connection.send("GET", "/_simulator/arrivals").document) == 1
