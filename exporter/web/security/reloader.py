"""The web configuration in force: read again when one of its files changes, without a restart.

Looks at the files' stamps (a tenth of a millisecond, on a thread) whenever a connection or a request asks.

- Files that were changed just now do not count yet, for they may be half written: what was in force stays so.
- While the file or a certificate is broken nothing is in force, and who asks gets ConfigError; fixing it is enough.
- A file that protects less than what is in force (no users any more, client certificates no longer required) counts
  once it was seen unchanged for longer; the log says so.  A file without any protection never counts: it may be half
  written and stay so, as on a full disk.  TLS itself begins and ends with the process.
- While a look does not end, since the files' mount hangs, what was in force stays so.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from exporter.errors import ConfigError
from exporter.logs import fields
from exporter.threads import Bounded
from exporter.web.security.config import WebConfig, load_web_config

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""A broken configuration is read again this often, changed or not: what failed may have been the reading."""

SETTLE_SECONDS = 1.0
"""Files count when their last change is this long ago, or when they were found equal for this long."""

WEAKER_SECONDS = 10.0
"""A file that protects less counts when two looks this far apart found it equal."""

LOOK_SECONDS = 1.0
"""How long who asks waits for a look at the files."""

_Stamp = tuple[int, int, int, int] | None


class WebSecurity:
    """Gives the web configuration of the file at `path`, or an empty one without a path; thread-safe.

    Raises ConfigError where the file is refused at the start.
    """

    def __init__(
        self,
        path: Path | None,
        monotonic: Callable[[], float] = time.monotonic,
        unix_ns: Callable[[], int] = time.time_ns,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._looking = Bounded(self._look, "web-configuration", look_seconds)
        self._hangs = False
        self._path = path
        self._monotonic = monotonic
        self._unix_ns = unix_ns
        self._lock = threading.Lock()
        self._files: list[Path] = []
        self._stamps: tuple[_Stamp, ...] = ()  # of what was read last; empty: it is to be read again
        self._logged: tuple[_Stamp, ...] = ()
        self._seen: tuple[_Stamp, ...] = ()
        self._seen_at = monotonic()
        self._read_again_at = float("inf")
        self._fault: ConfigError | None = None
        self._config = WebConfig()
        if path is not None:
            self._config = self._read(path)
            self._logged = self._seen
            _log_warnings(self._config)
            if self._config.tls is None and not self._config.users:
                logger.warning("web configuration has neither TLS nor users: anyone may ask", extra=fields(file=path))

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted; does not change while running."""
        return self._config.tls is not None

    def current(self) -> WebConfig:
        """What is in force now; raises ConfigError while that is broken."""
        if self._path is None:
            return self._config
        with self._lock:
            hangs = not self._looking.run()
            if hangs and not self._hangs:
                logger.error("no look at the web configuration, it stays as it was: its mount hangs")
            self._hangs = hangs
            if self._fault is not None:
                raise ConfigError(self._fault.faults)
            return self._config

    def _look(self) -> None:
        if self._path is not None and self._is_due():
            self._refresh(self._path)

    def _is_due(self) -> bool:
        return self._monotonic() >= self._read_again_at or self._stamp_all() != self._stamps

    def _refresh(self, path: Path) -> None:
        if not self._are_settled(self._stamp_all()):
            return
        try:
            config = self._read(path)
            _check_kept(path, self._config, config)
            weaker = _weaker(self._config, config)
        except (ConfigError, OSError) as error:  # OSError: the path is relative and the working folder is gone
            if self._stamps or isinstance(error, OSError):
                self._refuse(error if isinstance(error, ConfigError) else ConfigError([f"{path}: {error}"]))
        else:
            if not self._stamps:
                return
            if weaker and self._monotonic() - self._seen_at < WEAKER_SECONDS:
                self._read_again_at = self._monotonic() + RETRY_SECONDS
                return
            for change in weaker:
                logger.warning("web configuration protects less than before", extra=fields(file=path, change=change))
            if self._fault is not None or self._logged != self._stamps:
                logger.info("web configuration read again", extra=fields(file=path))
                _log_warnings(config)
            self._config, self._fault, self._logged = config, None, self._stamps

    def _refuse(self, error: ConfigError) -> None:
        self._read_again_at = self._monotonic() + RETRY_SECONDS
        if self._fault is None or self._fault.faults != error.faults:
            for fault in error.faults:
                logger.error(
                    "web configuration refused: no request is accepted until it is fixed", extra=fields(error=fault)
                )
        self._fault = error

    def _read(self, path: Path) -> WebConfig:
        """Read the file and what it names; no stamps are kept where one of them was changed just now."""
        self._files = [path]
        try:
            return load_web_config(path, self._files)
        finally:
            stamps = self._stamp_all()
            self._stamps = stamps if self._are_settled(stamps) else ()
            self._read_again_at = float("inf")

    def _are_settled(self, stamps: tuple[_Stamp, ...]) -> bool:
        """Whether files with these stamps count.  A clock that was set tells nothing: then they must be seen twice."""
        now = self._monotonic()
        if stamps != self._seen:
            self._seen, self._seen_at = stamps, now
        if now - self._seen_at >= SETTLE_SECONDS:
            return True
        if None in stamps:
            return False
        changed_ns = max(stamp[1] for stamp in stamps if stamp is not None)
        return self._unix_ns() - changed_ns >= SETTLE_SECONDS * 1e9

    def _stamp_all(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(file) for file in self._files)


def _log_warnings(config: WebConfig) -> None:
    for warning in config.warnings:
        logger.warning("web configuration", extra=fields(warning=warning))


def _stamp(file: Path) -> _Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116 - on every connection: Path.stat costs twice as much
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _check_kept(path: Path, before: WebConfig, now: WebConfig) -> None:
    """Raise ConfigError where TLS came or went, or no protection is left."""
    faults = []
    if (before.tls is None) != (now.tls is None):
        change = "added" if before.tls is None else "removed"
        faults.append(f"tls_server_config: was {change} while running; restart the exporter, or undo it")
    elif before.protects and not now.protects:
        faults.append("nothing is left of what it protected with; restart the exporter, or undo it")
    if faults:
        raise ConfigError([f"{path}:1: {fault}" for fault in faults])


def _weaker(before: WebConfig, now: WebConfig) -> list[str]:
    """What of the protection of `before` is gone in `now`, in words."""
    gone = []
    if before.users and not now.users:
        gone.append("basic_auth_users was removed: anyone may ask")
    if before.tls is not None and now.tls is not None:
        if before.tls.requires_client and not now.tls.requires_client:
            gone.append("client_auth_type: client certificates are no longer required")
        elif before.tls.requires_client and not before.tls.trusts_system and now.tls.trusts_system:
            gone.append("client_ca_file was removed: client certificates of the system's authorities will do")
        if before.tls.allowed_sans and not now.tls.allowed_sans:
            gone.append("client_allowed_sans was removed: any name in a client certificate will do")
    return gone
