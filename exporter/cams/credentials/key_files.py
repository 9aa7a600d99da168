"""The secrets of one account, given inline or in files; files are read again when they change.

A change shows in the time, size or inode of a file, also where Kubernetes swaps symlinks.  While a file cannot be read
the last good values stay in use: replacing a key must not stop the polling.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from exporter.config import Secret, parse_key, read_key
from exporter.errors import CredentialsError
from exporter.logs import fields
from exporter.model import Clock
from exporter.threads import Bounded, StillRunningError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long a caller waits for a look at the files.  On a mount that hangs only one caller waits."""

CHECK_SECONDS = 1.0
"""The least time between two looks at the files."""

Values = Mapping[str, str]
_Stamp = tuple[int, int, int]


class KeyFiles:
    """The values of `secrets` by name; thread-safe.  `owner` is the account, for the log."""

    def __init__(
        self, secrets: Mapping[str, Secret], clock: Clock, owner: str, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._has_files = any(secret.file is not None for secret in secrets.values())
        self._looking = Bounded(f"key-files-{owner}")
        self._look_seconds = look_seconds
        self._secrets = secrets
        self._clock = clock
        self._owner = owner
        self._lock = threading.Lock()
        self._values: Values | None = None
        self._changes = 0
        self._stamps: dict[str, _Stamp | None] = {}
        self._check_at = clock.monotonic()
        self._fault = ""

    def values(self) -> Values:
        """The same object as before unless a value changed.  Raises CredentialsError before the first good read."""
        with self._lock:
            self._look()
            if self._values is None:
                raise CredentialsError(self._fault)
            return self._values

    def changes(self) -> int:
        """How often the values changed, the first good read included."""
        with self._lock:
            self._look()
            return self._changes

    def check_soon(self) -> None:
        """Read the files at the next call, even if that comes within `CHECK_SECONDS`."""
        with self._lock:
            self._check_at = self._clock.monotonic()
            self._stamps = {}

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            if not self._has_files:
                self._check()
                return
            try:
                self._looking.run(self._check, self._look_seconds)
            except StillRunningError:
                files = ", ".join(
                    each.written or str(each.file) for each in self._secrets.values() if each.file is not None
                )
                self._say(f"{files}: no answer, the mount hangs")

    def _check(self) -> None:
        try:
            stamps = self._stamp_all()
            if self._values is not None and stamps == self._stamps:
                self._fault = ""
                return
            values = {name: _value(name, secret) for name, secret in self._secrets.items()}
            if self._stamp_all() != stamps:  # some files may be old ones: read all of them once more
                stamps = self._stamp_all()
                values = {name: _value(name, secret) for name, secret in self._secrets.items()}
        except CredentialsError as error:
            self._say(str(error))
            return
        self._stamps = stamps
        self._fault = ""
        if self._values is not None and dict(self._values) == values:
            return
        if self._values is not None:
            logger.info("credentials changed on disk", extra=fields(account=self._owner))
        self._values = MappingProxyType(values)
        self._changes += 1

    def _stamp_all(self) -> dict[str, _Stamp | None]:
        return {name: _stamp(secret.file) for name, secret in self._secrets.items() if secret.file is not None}

    def _say(self, fault: str) -> None:
        if fault != self._fault and self._values is not None:
            logger.warning("keeping the credentials read before", extra=fields(account=self._owner, error=fault))
        self._fault = fault


def _stamp(file: Path) -> _Stamp | None:
    """None if there is no such file; reading it gives the better error."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _value(name: str, secret: Secret) -> str:
    try:
        if secret.file is None:
            return parse_key(secret.value or "")
        return read_key(secret.file.parent, secret.file.name, secret.written)
    except ValueError as error:
        raise CredentialsError(f"{name if secret.file is None else f'{name}_file'}: {error}") from None


def is_sound(text: str) -> bool:
    """Whether `text` may be a key or token: printable ASCII without spaces, as an HTTP header needs."""
    return all("!" <= ch <= "~" for ch in text)
