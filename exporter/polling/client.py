"""The client of an account as its poller sees it: what it can be asked, and when its credential became another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from exporter.cams.operations import Operation
from exporter.model import Answer, Health, PhoneNumber, Slot

T = TypeVar("T")


class Fetcher(Protocol):
    """What the poller needs of the client.

    The first three send one request inside a slot that `gate` gives.  They raise ApiError, and what entering the slot
    raises.
    """

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        """Ask once for the status of a number."""

    def check_health(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Health:
        """Ask once whether a number can send."""

    def call(self, operation: Operation[T], gate: Callable[[], Slot]) -> T:
        """Ask once for anything else."""

    def ready(self) -> bool:
        """False until a first look for credentials ended, with or without success."""

    def credential_changes(self) -> int:
        """How often the credential became another one; may look at key files, and does not wait for the network."""


class CurrentClient:
    """The client in use, and which credential it signs with.  Not thread-safe: the poller holds the lock."""

    def __init__(self, client: Fetcher) -> None:
        self.client = client
        self.credential = 0
        """Counts the credentials of all clients so far."""
        self.is_ready = False
        """Whether the client's first look for a credential ended."""
        self._changes = -1  # of the client, as last seen

    def replace(self, client: Fetcher) -> None:
        """Use another client: it may have what the old one lacked."""
        if client is not self.client:
            self.client = client
            self.credential += 1
            self._changes = -1
            self.is_ready = False

    def look(self) -> tuple[Fetcher, int, bool]:
        """Look at the credential, for `seen`.  Called without the lock: it may read files."""
        client, is_ready = self.client, self.is_ready
        return client, client.credential_changes(), is_ready or client.ready()

    def seen(self, client: Fetcher, changes: int, is_ready: bool) -> bool:
        """Take over what `look` found; returns whether the credential became another one."""
        if client is not self.client:
            return False
        self.is_ready = is_ready
        is_other = changes != self._changes
        self._changes = changes
        self.credential += is_other
        return is_other
