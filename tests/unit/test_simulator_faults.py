"""Each fault, seen by a client on a real socket."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from exporter.simulator import Simulator, faults
from exporter.simulator.faults import HOSTILE_TEXT, Fault
from exporter.simulator.messages import Reply
from exporter.simulator.wire import Wire
from tests.support.patience import PATIENCE_SECONDS
from tests.support.simulated import Call, Response, ask, care_world


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One simulator for all tests: a fault is injected for one request, and must not affect the next."""
    world = care_world()
    world.accounts["care"].rate_limit = 10_000
    with Simulator(world) as running:
        yield running
        assert ask(running.url).status == 200


def meet(simulator: Simulator, fault: Fault) -> Response:
    simulator.world.inject(fault)
    return ask(simulator.url)


def watch(
    simulator: Simulator, fault: Fault, is_enough: Callable[[bytes], bool] = lambda received: False
) -> tuple[bytes, str]:
    """The bytes that a client receives, and the state of its connection then: open, closed or reset.

    On a bare socket: `http.client` reports a clean close as a kind of ConnectionResetError.
    """
    simulator.world.inject(fault)
    parts = urlsplit(simulator.url)
    call = Call(host=parts.netloc)
    head = "".join(f"{name}: {value}\r\n" for name, value in call.headers().items())
    received = b""
    with socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS) as connection:
        connection.sendall(f"POST {call.target} HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n".encode())
        while not is_enough(received):
            try:
                data = connection.recv(1)
            except ConnectionResetError:
                return received, "reset"
            if not data:
                return received, "closed"
            received += data
    return received, "open"


def promised_and_sent(received: bytes) -> tuple[int, int]:
    """Content-Length, and the real length of the body."""
    head, _, body = received.partition(b"\r\n\r\n")
    (promised,) = (int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
    return promised, len(body)


def test_reset(simulator: Simulator) -> None:
    assert watch(simulator, faults.reset()) == (b"", "reset")


def test_reset_in_the_body(simulator: Simulator) -> None:
    """The bytes before the reset are received."""
    received, ending = watch(simulator, faults.reset(after_bytes=250))
    assert (len(received), ending) == (250, "reset")


def test_close_without_an_answer(simulator: Simulator) -> None:
    assert watch(simulator, faults.close()) == (b"", "closed")


def test_hang_for_ever(simulator: Simulator) -> None:
    simulator.world.inject(faults.hang())
    with pytest.raises(TimeoutError):
        ask(simulator.url, timeout_seconds=0.3)


def test_hang_then_answer(simulator: Simulator) -> None:
    assert meet(simulator, faults.hang(0.05)).document["Code"] == "OK"


def test_a_dripping_head(simulator: Simulator) -> None:
    began = time.monotonic()
    received, ending = watch(simulator, faults.drip_headers(20), lambda received: len(received) == 9)
    assert (received, ending) == (b"HTTP/1.1 ", "open")
    assert time.monotonic() - began >= 8 / 20


def test_a_dripping_body(simulator: Simulator) -> None:
    began = time.monotonic()
    received, ending = watch(
        simulator, faults.drip_body(20), lambda received: len(received.partition(b"\r\n\r\n")[2]) == 9
    )
    promised, _ = promised_and_sent(received)
    assert promised > 100
    assert ending == "open"
    assert time.monotonic() - began >= 8 / 20


def test_a_dripping_answer_is_whole_in_the_end(simulator: Simulator) -> None:
    assert meet(simulator, faults.drip_headers(100_000)).document["Code"] == "OK"


def test_truncated_body(simulator: Simulator) -> None:
    received, ending = watch(simulator, faults.truncated(10))
    promised, sent = promised_and_sent(received)
    assert (promised - sent, ending) == (10, "closed")


def test_overlong_body(simulator: Simulator) -> None:
    received, ending = watch(simulator, faults.overlong(100))
    promised, sent = promised_and_sent(received)
    assert (sent - promised, ending) == (100, "closed")


def test_huge_body(simulator: Simulator) -> None:
    response = meet(simulator, faults.huge(8))
    assert len(response.document["Message"]) == 8 << 20


def test_gzip_bomb(simulator: Simulator) -> None:
    response = meet(simulator, faults.gzip_bomb(8))
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.body) < 1 << 17
    assert len(json.loads(gzip.decompress(response.body))["Message"]) == 8 << 20


def test_raw_bytes(simulator: Simulator) -> None:
    assert watch(simulator, faults.raw(b"SSH-2.0-x\r\n")) == (b"SSH-2.0-x\r\n", "closed")


def test_connection_close(simulator: Simulator) -> None:
    response = meet(simulator, faults.connection_close())
    assert (response.document["Code"], response.headers["connection"]) == ("OK", "close")


@pytest.mark.parametrize("status", [200, 502])
def test_html(simulator: Simulator, status: int) -> None:
    response = meet(simulator, faults.html(status))
    assert (response.status, response.headers["content-type"]) == (status, "text/html")
    assert response.body.startswith(b"<html>")


def test_a_bare_status(simulator: Simulator) -> None:
    response = meet(simulator, faults.bare(502))
    assert (response.status, response.body) == (502, b"")


def test_an_error_without_a_code(simulator: Simulator) -> None:
    response = meet(simulator, faults.codeless(500))
    assert response.status == 500
    assert "Code" not in response.document


def test_a_redirect_to_itself(simulator: Simulator) -> None:
    response = meet(simulator, faults.redirect())
    assert (response.status, response.headers["location"]) == (302, "/")


def test_an_error_in_http_200(simulator: Simulator) -> None:
    response = meet(simulator, faults.error(200, "Product.Unsubscript"))
    assert (response.status, response.document["Code"]) == (200, "Product.Unsubscript")
    assert "Data" not in response.document
    assert response.headers["x-acs-request-id"] == response.document["RequestId"]


def test_unknown_codes_are_all_different(simulator: Simulator) -> None:
    fault = faults.unknown_codes()
    assert len({meet(simulator, fault).document["Code"] for _ in range(20)}) == 20


def test_invalid_utf8(simulator: Simulator) -> None:
    with pytest.raises(UnicodeDecodeError):
        meet(simulator, faults.invalid_utf8()).body.decode()


def test_deep_nesting(simulator: Simulator) -> None:
    """Too deep for Python's parser."""
    response = meet(simulator, faults.nested())
    with pytest.raises(RecursionError):
        json.loads(response.body)


def test_wrong_types(simulator: Simulator) -> None:
    document = meet(simulator, faults.wrong_types()).document
    assert not any(isinstance(value, str) for value in document.values())


def test_null_data(simulator: Simulator) -> None:
    document = meet(simulator, faults.null_data()).document
    assert (document["Code"], document["Data"]) == ("OK", None)


@pytest.mark.parametrize(
    "value",
    ["BRAND_NEW", HOSTILE_TEXT, "x" * (1 << 20), "", None, 7],
    ids=["new", "hostile", "long", "empty", "null", "number"],
)
def test_any_status(simulator: Simulator, value: object) -> None:
    assert meet(simulator, faults.status(value)).document["Data"]["CodeVerificationStatus"] == value


@pytest.mark.parametrize("text", [HOSTILE_TEXT, "m" * (1 << 20)], ids=["hostile", "long"])
def test_any_message(simulator: Simulator, text: str) -> None:
    response = meet(simulator, faults.message(text))
    assert (response.status, response.document["Message"]) == (400, text)


def test_an_unheard_of_http_status_can_be_dripped(simulator: Simulator) -> None:
    """Statuses without a standard phrase have a line too."""
    fault = faults.error(599, "Simulated")

    async def both(wire: Wire, reply: Reply) -> Reply | None:
        odd = await fault.play(wire, reply)
        assert odd is not None
        return await faults.drip_headers(100_000).play(wire, odd)

    response = meet(simulator, Fault("both", both))
    assert (response.status, response.document["Code"]) == (599, "Simulated")


def test_every_fault_is_logged_under_its_name(simulator: Simulator) -> None:
    meet(simulator, faults.null_data())
    assert simulator.world.arrivals()[-1].outcome == "null_data"
