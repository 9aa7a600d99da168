"""Basic authentication against bcrypt hashes: off the event loop, one hash at a time, results cached.

An unknown user costs as much as a known one, so that answers do not tell which names exist.  The cache is keyed by an
HMAC under a salt of this process over length-prefixed parts: it holds no password, and no choice of names and
passwords makes two keys alike (CVE-2022-46146 was a key without separators).

Source: RFC 7617; exporter-toolkit's handler.go for what is expected of such a server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

from exporter.web.offload import Offload

CHALLENGE = 'Basic realm="cams_exporter", charset="UTF-8"'

MAX_PASSWORD_BYTES = 72
"""bcrypt reads no further: a longer password is never right."""

MAX_CACHED = 256
"""Right and wrong answers each: wrong ones cannot push out the right ones."""

MAX_WAITING = 32
"""Checks that wait for their turn: about two seconds' worth at a cost of 10."""

MAX_HEADER_CHARACTERS = 2048

_FAKE_HASH = "$2b${:02d}$FvTuHqJbG0o3pQ9sWzXy1uDkR5mN8vC2xZ7aL4eS6fB1hK0iJ9wOe"
"""A hash that no password is known for; its cost is filled in."""


class Busy(Exception):  # noqa: N818 - not a fault of the request: it may be tried again
    """Too many passwords wait to be checked."""


class BasicAuth:
    """Checks `Authorization` headers; `start` before use."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._offload = Offload(1, "bcrypt")
        self._right = _Cache()
        self._wrong = _Cache()
        self._waiting = 0

    def start(self) -> None:
        """Start the thread that hashes."""
        self._offload.start()

    def stop(self) -> None:
        """End that thread."""
        self._offload.stop()

    async def admits(self, users: Mapping[str, str], header: str) -> bool:
        """Whether `header` names one of `users` (name: hash) and has the password; raises Busy."""
        found = credentials(header)
        if found is None:
            return False
        user, password = found
        known = users.get(user)
        key = self._key(user, known or "", password)
        if key in self._right:
            return True
        if key in self._wrong:
            return False
        if self._waiting >= MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await self._offload.run(partial(self._check, key, known, known or self._fake(users, user), password))
        finally:
            self._waiting -= 1

    def _check(self, key: bytes, known: str | None, hashed: str, password: bytes) -> bool:
        """Hash; runs on the thread.  What was asked several times at once is hashed once."""
        if key in self._right or key in self._wrong:
            return key in self._right
        fits = _matches(password[:MAX_PASSWORD_BYTES], hashed)
        admitted = fits and known is not None and len(password) <= MAX_PASSWORD_BYTES
        (self._right if admitted else self._wrong).add(key)
        return admitted

    def _key(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = (user.encode(), hashed.encode(), password)
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._salt, framed, hashlib.sha256)

    def _fake(self, users: Mapping[str, str], user: str) -> str:
        """The hash to check an unknown user against: as dear as one of the known users', the same one each time."""
        costs = sorted(int(hashed[4:6]) for hashed in users.values())
        choice = int.from_bytes(hmac.digest(self._salt, user.encode(), hashlib.sha256)[:8], "big")
        return _FAKE_HASH.format(costs[choice % len(costs)])


class _Cache:
    """A bounded set that forgets the oldest; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        with self._lock:
            if key not in self._keys:
                return False
            self._keys.move_to_end(key)
            return True

    def add(self, key: bytes) -> None:
        with self._lock:
            self._keys[key] = None
            if len(self._keys) > MAX_CACHED:
                self._keys.popitem(last=False)


def credentials(header: str) -> tuple[str, bytes] | None:
    """The user and password in an `Authorization` header; None where it holds none."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic" or len(rest) > MAX_HEADER_CHARACTERS:
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):  # a lone surrogate in the header, a name that is no UTF-8
        return None


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only who has users pays for it

    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:  # a NUL byte, for a version of bcrypt that refuses it
        return False
