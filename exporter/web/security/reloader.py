"""The web configuration in force: read again when one of its files changes, without a restart.

`watch` looks at the files' stamps twice a second, on a thread, so that no request waits for a mount that hangs.

- A changed file counts when it was found equal for a second: before, it may be half written.
- While the file or a certificate is broken nothing is in force: `current` raises ConfigError.  Fixing it is enough.
- A file that protects less than what is in force (no users any more, client certificates no longer required) counts
  when it was found equal for longer; the log says so.  A file without any protection never counts: it may be half
  written and stay so, as on a full disk.  TLS itself begins and ends with the process.
- While a look does not end, what was in force stays so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from exporter.errors import ConfigError
from exporter.logs import fields
from exporter.threads import begin
from exporter.web.security.config import WebConfig, load_web_config

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks."""

HANG_SECONDS = 2.0
"""A look that takes longer is worth a line in the log."""

SETTLE_SECONDS = 1.0
"""Files count when they were found equal for this long."""

WEAKER_SECONDS = 10.0
"""A file that protects less counts when it was found equal for this long."""

_Stamp = tuple[int, int, int, int] | None


class WebSecurity:
    """Gives the web configuration of the file at `path`, or an empty one without a path.

    Raises ConfigError where the file is refused at the start.
    """

    def __init__(self, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._files = [path] if path is not None else []
        self._read: tuple[_Stamp, ...] | None = None  # of what is in force; None: it is to be read once more
        self._fault: ConfigError | None = None
        self._config = WebConfig()
        if path is not None:
            self._config = load_web_config(path, self._files)
            _log_warnings(self._config)
            if self._config.tls is None and not self._config.users:
                logger.warning("web configuration has neither TLS nor users: anyone may ask", extra=fields(file=path))
        self._seen = self._logged = self._stamp_all()
        self._seen_at = monotonic()

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted; does not change while running."""
        return self._config.tls is not None

    def current(self) -> WebConfig:
        """What is in force now; raises ConfigError while that is broken."""
        if self._fault is not None:
            raise ConfigError(self._fault.faults)
        return self._config

    async def watch(self) -> None:
        """Look at the files until cancelled."""
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                look = asyncio.wrap_future(begin(self.look, "web-configuration"))
            except OSError:  # the machine has no thread left: look on this one
                self.look()
                continue
            done, _ = await asyncio.wait([look], timeout=HANG_SECONDS)
            if not done:
                logger.error("no look at the web configuration, it stays as it was: its mount hangs")
            await look

    def look(self) -> None:
        """Read the files again where they have changed.  For one thread at a time."""
        now = self._monotonic()
        is_settled = self._is_as_seen(now) and now - self._seen_at >= SETTLE_SECONDS
        if self._path is not None and is_settled and (self._fault is not None or self._seen != self._read):
            self._read_again(self._path, now)

    def _is_as_seen(self, now: float) -> bool:
        """Whether the files are as they were seen last; if not, they are seen again."""
        stamps = self._stamp_all()
        if stamps != self._seen:
            self._seen, self._seen_at = stamps, now
            return False
        return True

    def _stamp_all(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(file) for file in self._files)

    def _read_again(self, path: Path, now: float) -> None:
        fault: ConfigError | None = None
        config = self._config
        try:
            self._files = [path]
            config = load_web_config(path, self._files)
            _check_kept(path, self._config, config)
        except ConfigError as error:
            fault = error
        except Exception as error:  # noqa: BLE001 - whatever it is, such as a working folder that is gone: keep looking
            fault = ConfigError([f"{path}: {error if isinstance(error, OSError) else type(error).__name__}"])
        if not self._is_as_seen(now):
            return  # they changed meanwhile, or are others: they must settle too
        if fault is not None:
            self._refuse(fault)
            return
        weaker = _weaker(self._config, config)
        if weaker and now - self._seen_at < WEAKER_SECONDS:
            return
        for change in weaker:
            logger.warning("web configuration protects less than before", extra=fields(file=path, change=change))
        if self._fault is not None or self._logged != self._seen:
            logger.info("web configuration read again", extra=fields(file=path))
            _log_warnings(config)
        self._config, self._fault = config, None
        self._read = self._logged = self._seen

    def _refuse(self, fault: ConfigError) -> None:
        if self._fault is None or self._fault.faults != fault.faults:
            for text in fault.faults:
                logger.error(
                    "web configuration refused: no request is accepted until it is fixed", extra=fields(error=text)
                )
        self._fault = fault


def _log_warnings(config: WebConfig) -> None:
    for warning in config.warnings:
        logger.warning("web configuration", extra=fields(warning=warning))


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
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
