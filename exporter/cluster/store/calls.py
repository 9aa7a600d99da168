"""The calls to the store: scripts in, checked values out.  Each blocks for a bounded time; raises StoreError only."""

from __future__ import annotations

import functools
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from exporter.cluster.leases.table import Contact, Member, Take
from exporter.cluster.store import replies, scripts
from exporter.cluster.store.replies import GarbledError, StoreError, UnknownScriptError
from exporter.model import Pace
from exporter.threads import Bounded, StillRunningError, begin

_T = TypeVar("_T")

MAX_ANSWERS = 500
"""How many answers one exchange reads at most."""

MAX_PAYLOAD_BYTES = 32 << 10
"""More than any answer has."""


class Redis(Protocol):
    """What is needed of redis-py's client."""

    def execute_command(self, *args: object) -> object:
        """Send one command and return its answer."""

    def close(self) -> None:
        """Close its connections."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer of a number in the store; `written_ms` is by the store's clock."""

    key: str
    written_ms: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one exchange read.  `now_ms` is the store's clock, `count` where the next one goes on."""

    now_ms: int
    count: str
    entries: tuple[Entry, ...]
    is_all: bool


class Store:
    """One replica's calls to the store.

    `connect` makes a client that is connected; it is called again after each failure, so a name is resolved anew and a
    Sentinel is asked anew.  `guarded` is how redis-py's errors become StoreError.

    What another program wrote into the keys is removed, together with all that is in them: then the store has lost its
    data, and no lease counts.  Keys that no replica has used are left alone.

    To connect takes several round trips, and the password may lie on a mount that hangs.  If that takes longer than a
    call may, it goes on for the next call.
    """

    def __init__(
        self,
        connect: Callable[[], Redis],
        guarded: Callable[[Callable[[], object]], object],
        prefix: str,
        timeout_seconds: float,
    ) -> None:
        self._connect = connect
        self._guarded = guarded
        self._keys = [f"{prefix}:{name}" for name in scripts.KEYS]
        self._timeout_seconds = timeout_seconds
        self._bounded = Bounded("cluster-store")
        self._is_used = False  # by this replica, with success
        self._client: Redis | None = None
        self._connecting: Future[Redis] | None = None

    def contact(
        self,
        me: Member,
        number: int,
        known: tuple[str, int],
        hold_seconds: float,
        paces: Mapping[str, tuple[int, Pace]],
    ) -> Contact:
        """Renew all leases, and learn what changed.  `paces` has those that changed, with the tokens of the leases."""
        published = [
            part for account, (token, pace) in paces.items() for part in (account, token, replies.pace_text(pace))
        ]
        arguments = (me.id, number, replies.about(me), f"{known[0]}:{known[1]}", _ms(hold_seconds), uuid.uuid4().hex)
        found = self._read(replies.contact, scripts.CONTACT, *arguments, *published)
        self._is_used = True
        return found

    def take(self, me: str, epoch: str, takes: Sequence[Take]) -> tuple[str, ...]:
        """Become the holder, or set accounts free; returns which."""
        wanted = [
            part
            for each in takes
            for part in (each.account, each.token, each.holder, each.beat, "" if each.frees else me)
        ]
        return self._read(replies.names, scripts.TAKE, epoch, me, *wanted)

    def release(self, me: str, paces: Mapping[str, tuple[int, Pace]], *, leaves: bool) -> tuple[str, ...]:
        """Hand accounts over, with their tokens and paces; returns which.  No request may leave any more."""
        given = [part for account, (token, pace) in paces.items() for part in (account, token, replies.pace_text(pace))]
        return self._read(replies.names, scripts.RELEASE, me, int(leaves), *given)

    def forget(self, members: Sequence[tuple[str, int]]) -> None:
        """Remove dead replicas, given with their last heartbeats."""
        self._read(replies.count, scripts.FORGET, *(part for member in members for part in member))

    def publish_accounts(self, me: str, accounts: Sequence[str]) -> None:
        """Tell the others the names of this replica's accounts."""
        self._read(replies.count, scripts.PUBLISH, me, json.dumps(accounts))

    def accounts_of(self, member: str) -> tuple[str, ...] | None:
        """The accounts of another replica; None if it has not told them."""
        return self._read(replies.account_list, scripts.LIST, member, replies.MAX_LIST_BYTES)

    def exchange(
        self, me: str, epoch: str, since: str, keep_seconds: float, answers: Sequence[tuple[str, float, bytes]]
    ) -> Exchange | None:
        """Write answers (key, age in seconds, payload), and read what others wrote; None in another epoch."""
        written = [part for key, age_seconds, payload in answers for part in (key, _ms(age_seconds), payload)]
        facts = (epoch, me, since, MAX_ANSWERS, _ms(keep_seconds), MAX_PAYLOAD_BYTES)
        return self._read(_exchange, scripts.EXCHANGE, *facts, *written)

    def close(self) -> None:
        """Close the connections; a call that hangs ends."""
        client, self._client = self._client, None
        connecting, self._connecting = self._connecting, None
        if client is not None:
            client.close()
        if connecting is not None:
            connecting.add_done_callback(_close)

    def _read(self, read: Callable[[object], _T], script: str, *arguments: object) -> _T:
        """What `read` makes of a script's answer."""
        try:
            return read(self._run(script, *arguments))
        except GarbledError as error:
            if not replies.count(self._run(scripts.CLEAR, int(self._is_used))):
                raise StoreError(
                    "another program uses these keys: delete them, or use another cluster.key_prefix"
                ) from None
            raise StoreError(f"another program wrote into the store, so all keys are made anew: {error}") from None

    def _run(self, script: str, *arguments: object) -> object:
        try:
            return self._command("EVALSHA", _digest(script), len(self._keys), *self._keys, *arguments)
        except UnknownScriptError:  # a new server, or the first time: it keeps what EVAL brings
            return self._command("EVAL", script, len(self._keys), *self._keys, *arguments)

    def _command(self, *command: object) -> object:
        client = self._connected()
        try:
            return self._bounded.run(
                lambda: self._guarded(lambda: client.execute_command(*command)), self._timeout_seconds
            )
        except StillRunningError:
            self.close()
            raise StoreError(f"no answer within {self._timeout_seconds:g} s") from None
        except UnknownScriptError:
            raise
        except StoreError:
            self.close()
            raise

    def _connected(self) -> Redis:
        if self._client is None:
            try:
                connecting = self._connecting = self._connecting or begin(self._connect, "cluster-connect")
            except OSError as error:
                raise StoreError(str(error)) from None
            if wait([connecting], self._timeout_seconds).not_done:
                raise StoreError(f"no connection within {self._timeout_seconds:g} s")
            self._connecting = None
            self._client = cast("Redis", self._guarded(connecting.result))
        return self._client


def _exchange(reply: object) -> Exchange | None:
    """What an exchange answered; raises GarbledError."""
    is_epoch, *rest = replies.listed(reply, 1, 4 + 3 * MAX_ANSWERS)
    if not replies.count(is_epoch):
        return None
    now_ms, count, found, *flat = replies.listed(rest, 3, 3 + 3 * MAX_ANSWERS)
    entries = zip(flat[::3], flat[1::3], flat[2::3], strict=False)
    return Exchange(
        replies.count(now_ms),
        str(replies.count(count)),
        tuple(
            Entry(key.decode("utf-8", "replace"), replies.count(written_ms), payload)
            for key, written_ms, payload in entries
            if isinstance(key, bytes) and isinstance(payload, bytes) and len(key + payload) <= MAX_PAYLOAD_BYTES
        ),
        replies.count(found) < MAX_ANSWERS,
    )


def _close(connecting: Future[Redis]) -> None:
    """Close a client that came too late."""
    if connecting.exception() is None:
        connecting.result().close()


@functools.cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
