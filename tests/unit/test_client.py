"""One fetch: the gate, the credential, the clock, and nothing but Answer or ApiError."""

from __future__ import annotations

import email.utils
import json
import logging
import socket
import threading

import pytest

from exporter.cams.adapter import MAX_SLOTS
from exporter.cams.client import Client
from exporter.errors import ApiError, Kind, Stopped
from exporter.model import Credential
from tests.support.clients import CREDENTIAL, FixedCredentials, await_bytes, client_of, error_of, gated, under_way
from tests.support.clock import FakeClock
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import Peer, RawServer, answering, http, ok


class Gate:
    """Counts its calls, and notes how much was sent before each."""

    def __init__(self, server: RawServer | None = None) -> None:
        self.calls: list[tuple[int, int]] = []
        self._server = server

    def __call__(self) -> None:
        server = self._server
        self.calls.append((server.connections, len(server.requests)) if server else (0, 0))


# the gate


def test_the_gate_opens_onto_a_connection_and_before_the_request() -> None:
    """Pacing must hold at the moment of sending: connect first, then wait for the slot, then send."""
    accepted = threading.Event()

    def script(peer: Peer) -> None:
        accepted.set()
        answering(ok())(peer)

    with RawServer(script) as server, client_of(server.url) as client:
        gate = Gate(server)

        def open_late() -> None:
            assert accepted.wait(PATIENCE_SECONDS)
            gate()

        client.fetch(number(), gated(open_late))
        client.fetch(number(), gated(open_late))
    assert gate.calls == [(1, 0), (1, 1)]


@pytest.mark.parametrize("answer", [ok(), http(b"{}", "503 Service Unavailable")])
def test_what_comes_before_reading_an_answer_does_not_count_as_the_apis_time(answer: bytes) -> None:
    """Polls wait for scrapes there; an answer that had come by then must not look slow, nor time out."""
    clock = FakeClock()
    answered: list[int] = []

    def before_reading() -> None:
        answered.append(len(server.requests))
        clock.advance(60.0)

    with (
        RawServer(answering(answer)) as server,
        client_of(server.url, clock=clock, timeout_seconds=10.0, before_reading=before_reading) as client,
    ):
        try:
            elapsed_seconds = client.fetch(number()).elapsed_seconds
        except ApiError as error:
            elapsed_seconds = error.elapsed_seconds
    assert (answered, elapsed_seconds) == ([1], 0.0)


def await_close(client: Client) -> None:
    """Wait until the server closed the connection of the attempt in flight."""
    (connection,) = under_way(client)
    await_bytes(connection)


def test_a_connection_closed_while_it_waited_is_replaced_and_waits_for_a_slot_of_its_own() -> None:
    """A handshake after the slot would make the request late, and too close to the next one."""

    def script(peer: Peer) -> None:
        if server.connections > 1:
            answering(ok())(peer)

    with RawServer(script) as server, client_of(server.url) as client:
        calls = Gate(server)

        def gate() -> None:
            calls()
            if len(calls.calls) == 1:
                await_close(client)

        assert client.fetch(number(), gated(gate)).status == "VERIFIED"
    assert [sent for _, sent in calls.calls] == [0, 0]
    assert server.connections == 2


def test_a_connection_closed_while_it_waited_that_cannot_be_replaced_costs_one_slot() -> None:
    with RawServer(lambda peer: None) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ports = [server.port, unused.getsockname()[1]]
        lookup = lambda *_, **__: socket.getaddrinfo("127.0.0.1", ports.pop(0), type=socket.SOCK_STREAM)  # noqa: E731
        with client_of("http://cams.example", lookup=lookup) as client:
            calls = Gate()

            def gate() -> None:
                calls()
                await_close(client)

            assert error_of(client, gate=gate).message.endswith(": Connection refused")
    assert len(calls.calls) == 1


def test_a_server_that_closes_every_connection_costs_two_slots_at_most() -> None:
    with RawServer(lambda peer: None) as server, client_of(server.url) as client:
        calls = Gate()

        def gate() -> None:
            calls()
            await_close(client)

        assert error_of(client, gate=gate).code == "connection_error"
    assert len(calls.calls) == MAX_SLOTS


def test_the_gate_is_passed_once_where_the_answer_is_an_error() -> None:
    with RawServer(answering(http(b"", "500 Internal Server Error"))) as server, client_of(server.url) as client:
        gate = Gate(server)
        assert error_of(client, gate=gate).code == "http_500"
    assert [sent for _, sent in gate.calls] == [0]


def test_the_gate_is_passed_once_where_the_request_fails() -> None:
    """The server closes the connection when it has read the request: the slot was used."""

    def script(peer: Peer) -> None:
        peer.read_request()

    with RawServer(script) as server, client_of(server.url) as client:
        gate = Gate()
        assert error_of(client, gate=gate).code == "connection_error"
    assert len(gate.calls) == 1


def test_the_gate_is_passed_once_where_no_connection_can_be_had() -> None:
    """So that failing attempts are paced as well."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gate = Gate()
        with client_of(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
            error = error_of(client, gate=gate)
    assert (error.code, error.sent) == ("connection_error", True)
    assert len(gate.calls) == 1


def test_an_attempt_without_a_credential_takes_one_slot() -> None:
    with RawServer(answering(ok())) as server, client_of(server.url, credentials=FixedCredentials(None)) as client:
        gate = Gate(server)
        error = error_of(client, gate=gate)
    assert (error.code, error.kind, error.sent) == ("credentials_error", Kind.ACCOUNT, False)
    assert error.message == "access_key_secret: /run/key cannot be read: no such file"
    assert gate.calls == [(0, 0)]
    assert server.connections == 0


class BugError(Exception):
    """An exception that is not from this package."""


@pytest.mark.parametrize("raised", [Stopped, BugError, OSError, TimeoutError, ValueError, KeyboardInterrupt])
def test_what_the_gate_raises_passes_through_and_nothing_is_sent(raised: type[BaseException]) -> None:
    def gate() -> None:
        raise raised

    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        with pytest.raises(raised):
            client.fetch(number(), gated(gate))
        assert client.fetch(number()).status == "VERIFIED"
        assert (server.connections, len(server.requests)) == (1, 1)  # and the connection was kept


def test_waiting_at_the_gate_does_not_count_as_duration_or_against_the_deadline() -> None:
    clock = FakeClock()

    def gate() -> None:
        clock.advance(59.0)

    with (
        RawServer(answering(ok(), http(b""))) as server,
        client_of(server.url, timeout_seconds=5.0, clock=clock) as client,
    ):
        assert client.fetch(number(), gated(gate)).elapsed_seconds == 0.0
        assert error_of(client, gate=gate).elapsed_seconds == 0.0


def test_the_deadline_spans_what_comes_before_and_after_the_gate() -> None:
    """Connecting used all the time: none is left for sending."""
    clock = FakeClock()

    def lookup(host: str, port: int, **more: object) -> list[object]:
        clock.advance(5.0)
        return []

    with client_of("http://a.example", timeout_seconds=5.0, clock=clock, lookup=lookup) as client:
        error = error_of(client)
    assert (error.code, error.elapsed_seconds) == ("timeout", 5.0)


# signing at the moment of sending


def headers_of(head: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])


def test_the_request_is_dated_and_signed_after_the_gate() -> None:
    clock = FakeClock(now_unix=1698315752.0)
    credentials = FixedCredentials()

    def gate() -> None:
        clock.advance(60.0)
        credentials.credential = Credential("rotated", "secret")

    with RawServer(answering(ok())) as server, client_of(server.url, clock=clock, credentials=credentials) as client:
        client.fetch(number(), gated(gate))
        headers = headers_of(server.requests[0])
    assert headers["x-acs-date"] == "2023-10-26T10:23:32Z"
    assert "Credential=rotated," in headers["authorization"]


def test_a_credential_lost_at_the_gate_is_an_error_and_the_connection_is_kept() -> None:
    credentials = FixedCredentials()

    def gate() -> None:
        credentials.credential = None

    with RawServer(answering(ok())) as server, client_of(server.url, credentials=credentials) as client:
        assert error_of(client, gate=gate).code == "credentials_error"
        assert credentials.refreshed == 1
        credentials.credential = CREDENTIAL
        client.fetch(number())
        assert (server.connections, len(server.requests)) == (1, 1)


def test_a_nonce_is_never_used_twice() -> None:
    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        for _ in range(10):
            client.fetch(number())
        assert len({headers_of(head)["x-acs-signature-nonce"] for head in server.requests}) == 10


@pytest.mark.parametrize(
    ("code", "refreshed"),
    [
        ("InvalidSecurityToken.Expired", 1),
        ("InvalidTimeStamp.Expired", 1),
        ("InvalidParameter.PhoneNumber", 0),
        ("Forbidden.RAM", 0),
        ("Throttling.User", 0),
    ],
)
def test_after_an_error_of_the_account_a_fresh_credential_is_fetched(code: str, refreshed: int) -> None:
    credentials = FixedCredentials()
    refusal = http(json.dumps({"Code": code}).encode(), "400 Bad Request")
    with RawServer(answering(refusal)) as server, client_of(server.url, credentials=credentials) as client:
        assert client.ready()
        assert error_of(client).code == code
    assert credentials.refreshed == refreshed


def test_where_there_is_no_credential_one_is_fetched() -> None:
    credentials = FixedCredentials(None)
    with client_of("http://127.0.0.1:1", credentials=credentials) as client:
        assert error_of(client).code == "credentials_error"
    assert credentials.refreshed == 1


@pytest.mark.parametrize("token", ["a\r\nx-acs-forged: b", "a\nb", "t\u00f6ken", "\u2028"])
def test_a_token_cannot_forge_a_header(token: str) -> None:
    credentials = FixedCredentials(Credential("id", "secret", token))
    with RawServer(answering(ok())) as server, client_of(server.url, credentials=credentials) as client:
        error = error_of(client)
        assert server.requests == []
    assert error.message == "sending the request: a header contains a character that is not allowed"


def test_a_number_that_cannot_be_encoded_is_still_only_an_error_of_the_api() -> None:
    answer = http(b'{"Code":"InvalidParameter"}', "400 Bad Request")
    with RawServer(answering(answer)) as server, client_of(server.url) as client:
        assert error_of(client, number(space="\ud800")).code == "InvalidParameter"


# clock trouble


def expired(date: str) -> bytes:
    return http(json.dumps({"Code": "InvalidTimeStamp.Expired"}).encode(), "400 Bad Request", Date=date)


def http_date(unix: float) -> str:
    return email.utils.formatdate(unix, usegmt=True)


def test_a_refused_time_is_corrected_by_the_servers(caplog: pytest.LogCaptureFixture) -> None:
    """Measured from the answer's Date, logged once in seconds; the machine's clock is not changed."""
    clock = FakeClock(now_unix=1698315752.0)
    refusal = expired(http_date(1698315752.0 + 3600))
    with RawServer(answering(refusal, refusal, ok())) as server, client_of(server.url, clock=clock) as client:
        with caplog.at_level(logging.WARNING):
            assert error_of(client).server_unix == 1698319352.0
            assert error_of(client).code == "InvalidTimeStamp.Expired"
            assert client.fetch(number()).status == "VERIFIED"
        dates = [headers_of(head)["x-acs-date"] for head in server.requests]
        assert client.skew_seconds == 3600.0
    assert dates == ["2023-10-26T10:22:32Z", "2023-10-26T11:22:32Z", "2023-10-26T11:22:32Z"]
    (said,) = caplog.records
    assert said.fields == {"account": "main", "clock_behind_seconds": 3600}  # type: ignore[attr-defined] # logs.fields


def test_a_clock_that_was_fixed_is_believed_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(now_unix=1698315752.0)
    true = 1698315752.0 + 3600
    caplog.set_level(logging.INFO)
    with RawServer(answering(expired(http_date(true)))) as server, client_of(server.url, clock=clock) as client:
        error_of(client)
        clock.now_unix = true
        error_of(client)
        assert client.skew_seconds == 0.0
    assert [record.fields["clock_behind_seconds"] for record in caplog.records] == [3600, 0]  # type: ignore[attr-defined] # logs.fields


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_time_refused_without_a_date_corrects_nothing(date: str) -> None:
    with RawServer(answering(expired(date))) as server, client_of(server.url) as client:
        error_of(client)
        assert client.skew_seconds == 0.0


def test_another_error_corrects_nothing() -> None:
    answer = http(b'{"Code":"Forbidden"}', "403 Forbidden", Date=http_date(0))
    with RawServer(answering(answer)) as server, client_of(server.url) as client:
        error_of(client)
        assert client.skew_seconds == 0.0


def test_a_time_that_was_corrected_is_cured_and_one_that_is_refused_again_is_not() -> None:
    clock = FakeClock(now_unix=1698315752.0)
    refusal = expired(http_date(1698315752.0 + 3600))
    with RawServer(answering(refusal)) as server, client_of(server.url, clock=clock) as client:
        assert error_of(client).cured
        assert not error_of(client).cured


# a key that changes


def test_a_refused_key_is_cured_where_there_is_another_by_now() -> None:
    credentials = FixedCredentials()
    refusal = http(b'{"Code":"InvalidAccessKeyId.NotFound"}', "404 Not Found")

    def rotating(peer: Peer) -> None:
        while peer.read_request():
            credentials.credential = Credential("another", "key")
            peer.send(refusal)

    with RawServer(rotating) as server, client_of(server.url, credentials=credentials) as client:
        assert error_of(client).cured
        assert not error_of(client).cured
        assert credentials.refreshed == 2


@pytest.mark.parametrize("code", ["InvalidParameter.PhoneNumber", "Throttling.User", "InternalError"])
def test_an_error_that_is_not_about_the_account_is_not_cured_by_another_key(code: str) -> None:
    credentials = FixedCredentials()

    def rotating(peer: Peer) -> None:
        while peer.read_request():
            credentials.credential = Credential("another", "key")
            peer.send(http(json.dumps({"Code": code}).encode(), "400 Bad Request"))

    with RawServer(rotating) as server, client_of(server.url, credentials=credentials) as client:
        assert not error_of(client).cured


# secrets


def test_neither_number_nor_secret_is_in_an_error_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """URLs contain the number, so no part of a URL appears in a message."""
    who = number(label="861380*****00")
    credentials = FixedCredentials(Credential("the-key-id", "the-secret", "the-token"))

    def script(peer: Peer) -> None:
        head = peer.read_request()
        echo = json.dumps({"Code": "SignatureDoesNotMatch", "Message": head.decode()}).encode()
        peer.send(http(echo, "400 Bad Request", Broken_Header_of_=who.phone_number))

    shown = []
    with caplog.at_level(logging.DEBUG):
        for answer in (script, Peer.reset, lambda peer: peer.send(b"\r\n" * 9), lambda peer: None):
            with RawServer(answer) as server, client_of(server.url, credentials=credentials) as client:
                error = error_of(client, who)
                shown += [str(error), repr(error), error.message, repr(client)]
    shown += [record.getMessage() for record in caplog.records]
    for word in (who.phone_number, "the-key-id", "the-secret", "the-token"):
        assert all(word not in text for text in shown)


# many at once


def test_many_workers_share_a_client() -> None:
    failures: list[ApiError] = []

    def work(client: Client, worker: int) -> None:
        for index in range(25):
            try:
                answer = client.fetch(number(worker * 1000 + index))
            except ApiError as error:
                failures.append(error)
            else:
                assert answer.phone_number_id == f"id-86138{worker * 1000 + index:08d}"

    def script(peer: Peer) -> None:
        while head := peer.read_request():
            digits = head.split(b"PhoneNumber=")[1][:13].decode()
            peer.send(ok({"Code": "OK", "Data": {"CodeVerificationStatus": "VERIFIED", "Id": f"id-{digits}"}}))

    with RawServer(script) as server, client_of(server.url, max_connections=8) as client:
        threads = [threading.Thread(target=work, args=(client, worker)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert len(server.requests) == 200
        assert server.connections <= 8
    assert failures == []
