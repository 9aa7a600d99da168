"""Basic authentication against bcrypt hashes: off the event loop, several at a time, results cached.

Every wrong login takes the same time, so the time does not tell which users exist: where a hash is cheaper than the
dearest one, the difference is spent too.  This holds for hashes up to `MAX_EQUAL_COST`; with dearer ones strangers
could use up minutes of CPU time.  Dearer hashes are checked on threads of their own, and take longer than a wrong name.
Logins from different addresses take turns.

The key of the cache is an HMAC, with a salt of this process, over parts with their lengths.  So the cache holds no
password, and no two logins have the same key (CVE-2022-46146 was a key without separators).

Source: RFC 7617; exporter-toolkit's handler.go for what is expected of such a server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial

from exporter.web.sharing import Shared
from exporter.web.worker_thread import WorkerThreads

CHALLENGE = 'Basic realm="cams_exporter", charset="UTF-8"'

MAX_PASSWORD_BYTES = 72
"""bcrypt reads no more: of a longer password these count, as when the hash was made, and as in exporter-toolkit."""

MAX_CACHED = 256
"""Of right and of wrong logins each: wrong ones cannot push out right ones."""

THREADS = 4
"""For hashes up to `MAX_EQUAL_COST`, and as many for dearer ones.  bcrypt lets other threads run meanwhile."""

MAX_EQUAL_COST = 14
"""About a second of CPU time for each wrong login."""

DEFAULT_COST = 10
"""Of the hash for unknown users, where all hashes of the file are dearer than `MAX_EQUAL_COST`."""

MAX_HEADER_CHARACTERS = 2048

_FAKE_HASH = "$2b${:02d}$FvTuHqJbG0o3pQ9sWzXy1uDkR5mN8vC2xZ7aL4eS6fB1hK0iJ9wOe"
"""A hash whose password nobody knows; its cost is filled in."""


class BasicAuth:
    """Checks `Authorization` headers; `threads` hash, for usual and for dear hashes."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self.threads = WorkerThreads(THREADS, "bcrypt"), WorkerThreads(THREADS, "bcrypt-dear")
        self._right = _Cache()
        self._wrong = _Cache()
        self._checks: Shared[bytes, bool] = Shared()

    async def admits(self, users: Mapping[str, str], header: str, source: object = None) -> bool:
        """Whether `header`, which came from `source`, names one of `users` (name: hash) and has the password."""
        found = parse_header(header)
        if found is None:
            return False
        user, password = found
        known = users.get(user)
        key = self._key(user, known or "", password)
        if self._right.holds(key):
            return True
        if self._wrong.holds(key):
            return False
        usual, dear = self.threads
        threads = usual if known is None or _cost(known) <= MAX_EQUAL_COST else dear
        check = partial(_check, known, password, _wrong_cost(users.values()))
        admitted = await self._checks.run(key, lambda: threads.run(check, source))
        (self._right if admitted else self._wrong).add(key)
        return admitted

    def _key(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = (user.encode(), hashed.encode(), password)
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._salt, framed, hashlib.sha256)


class _Cache(OrderedDict[bytes, None]):
    """A bounded set that forgets what was asked for longest ago."""

    def holds(self, key: bytes) -> bool:
        """Whether `key` is in it; then it is the last to be forgotten."""
        if key in self:
            self.move_to_end(key)
            return True
        return False

    def add(self, key: bytes) -> None:
        self[key] = None
        if len(self) > MAX_CACHED:
            self.popitem(last=False)


def parse_header(header: str) -> tuple[str, bytes] | None:
    """The user and password in an `Authorization` header; None where it holds none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic" or len(rest) > MAX_HEADER_CHARACTERS:
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):  # a lone surrogate in the header, a name that is no UTF-8
        return None


def _cost(hashed: str) -> int:
    """The logarithm of the time that it takes to check a password against this hash."""
    return int(hashed[4:6])


def _wrong_cost(hashes: Iterable[str]) -> int:
    """The cost of each wrong login."""
    return max((cost for cost in map(_cost, hashes) if cost <= MAX_EQUAL_COST), default=DEFAULT_COST)


def _check(known: str | None, password: bytes, wrong_cost: int) -> bool:
    """Whether the password belongs to the hash `known` (None: the user is unknown).  It takes long."""
    fits = _matches(password[:MAX_PASSWORD_BYTES], known or _FAKE_HASH.format(wrong_cost))
    if known is not None:
        if fits:
            return True
        for cost in range(_cost(known), wrong_cost):  # 2**c + 2**c + 2**(c+1) + … + 2**(n-1) is 2**n
            _matches(b"", _FAKE_HASH.format(cost))
    return False


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - needed only if there are users

    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:  # a NUL byte, for a version of bcrypt that refuses it
        return False
