"""A client of a server on loopback, its credentials, and its results."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.cams.addresses import Lookup
from exporter.cams.client import Client
from exporter.cams.connection import Connection
from exporter.cams.endpoint import endpoint_of
from exporter.errors import ApiError, CredentialsError
from exporter.model import Clock, Credential, PhoneNumber, Slot, SystemClock
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS

CREDENTIAL = Credential("LTAIexampleexample", "secretsecretsecretsecret")


class FixedCredentials:
    """A source that always has `credential`, or never has one."""

    def __init__(self, credential: Credential | None = CREDENTIAL) -> None:
        self.credential = credential
        self.refreshed = 0

    def get(self) -> Credential:
        if self.credential is None:
            raise CredentialsError("access_key_secret: /run/key cannot be read: no such file")
        return self.credential

    def changes(self) -> int:
        return 1

    def ready(self) -> bool:
        return True

    def refresh(self) -> None:
        self.refreshed += 1


@contextlib.contextmanager
def client_of(
    url: str,
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    ca_file: Path | None = None,
    credentials: FixedCredentials | None = None,
    clock: Clock | None = None,
    max_connections: int = 4,
    lookup: Lookup | None = None,
    before_reading: Callable[[], object] = lambda: None,
) -> Iterator[Client]:
    """A client that is closed at the end of the block."""
    more = {} if lookup is None else {"lookup": lookup}
    client = Client(
        account="main",
        endpoint=endpoint_of(url, ca_file),
        timeout_seconds=timeout_seconds,
        credentials=credentials or FixedCredentials(),
        clock=clock or SystemClock(),
        max_connections=max_connections,
        before_reading=before_reading,
        **more,
    )
    try:
        yield client
    finally:
        client.close()


def kept(client: Client) -> list[Connection]:
    """The idle connections."""
    return list(client._adapter._idle)


def under_way(client: Client) -> list[Connection]:
    """The connections with a request, or that are being made."""
    return [each for each in client._adapter._open if each.sock is not None and each not in client._adapter._idle]


def await_bytes(*connections: Connection) -> None:
    """Wait until the server's bytes, or the end of the connection, have arrived on each."""
    for connection in connections:
        assert connection.sock is not None
        assert select.select([connection.sock], [], [], PATIENCE_SECONDS)[0]


def gated(pass_gate: Callable[[], object]) -> Callable[[], Slot]:
    """A gate where `pass_gate` waits for the slot."""

    @contextlib.contextmanager
    def slot() -> Iterator[None]:
        pass_gate()
        yield

    return slot


def error_of(client: Client, who: PhoneNumber | None = None, gate: Callable[[], None] = lambda: None) -> ApiError:
    """The error that a fetch ends with."""
    with pytest.raises(ApiError) as caught:
        client.fetch(who or number(), gated(gate))
    return caught.value
