"""The client of the store that is slow to connect, or does not connect at all."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from exporter.cluster.store.calls import Store
from exporter.cluster.store.replies import StoreError
from tests.support.patience import PATIENCE_SECONDS

SHORT_SECONDS = 0.01


class Server:
    """A way to the store that is open once a test says so; it is also the client."""

    def __init__(self) -> None:
        self.opened, self.closed = threading.Event(), threading.Event()
        self.connected = 0
        self.commands: list[object] = []

    def connect(self) -> Server:
        self.connected += 1
        assert self.opened.wait(PATIENCE_SECONDS)
        return self

    def execute_command(self, *args: object) -> object:
        self.commands.append(args[0])
        return 1

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def store(server: Server) -> Store:
    store = Store(server.connect, lambda call: call(), "cams-exporter", SHORT_SECONDS)
    with pytest.raises(StoreError, match=r"no connection within 0\.01 s"):
        store.publish_accounts("a", ["one"])
    return store


def test_a_connection_that_takes_longer_than_a_call_serves_a_later_call(server: Server, store: Store) -> None:
    """A store at the end of a slow path would never be reached otherwise."""
    server.opened.set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not server.commands:
        assert time.monotonic() < deadline  # bounds a hang
        with contextlib.suppress(StoreError):
            store.publish_accounts("a", ["one"])
    assert server.connected == 1
    assert set(server.commands) == {"EVALSHA"}


def test_a_connection_that_comes_after_the_end_is_closed(server: Server, store: Store) -> None:
    store.close()
    server.opened.set()
    assert server.closed.wait(PATIENCE_SECONDS)
    assert server.commands == []
