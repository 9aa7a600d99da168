"""The configuration file over time: read at the start, for each reload, and when its content has changed.

What counts is the content, whatever its time says: Kubernetes swaps symlinks, and an editor may restore an old time.
"""

from __future__ import annotations

import logging
from pathlib import Path

from exporter.config.loader import load
from exporter.config.settings import Config
from exporter.config.strict_yaml import Variables, digest, look_in_time
from exporter.errors import ConfigError
from exporter.logs import fields

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0
"""A new content counts if it is still there after so long: before, it may be half written."""


class Source:
    """The file at `path`, or a stream, which is read once.  For one thread at a time."""

    def __init__(self, path: Path, variables: Variables) -> None:
        self._path = path
        self._variables = variables
        self._in_force: bytes | None = None
        self._seen: bytes | None = None
        self._judged: bytes | None = None
        self._is_spent = False

    def load(self) -> Config:
        """The configuration; raises ConfigError with all its faults, or because the stream was read before."""
        if self._is_spent:
            what = "was read from a pipe, which gives its content only once; restart the exporter, or name a file"
            raise ConfigError([f"{self._path}: {what}"])
        config = load(self._path, self._variables)
        self._is_spent = config.digest is None
        return config

    def has_changed(self, config: Config) -> bool:
        """Whether the file should be read anew: two looks in a row found the same content, and it is not in force.

        `config` is in force.  A content is judged once: if it is refused, it is not tried again and again.
        """
        if config.digest != self._in_force:
            self._in_force = self._judged = config.digest
        try:
            now = look_in_time(self._path, lambda: digest(self._path))
        except ValueError as error:  # the mount hangs
            logger.warning("configuration file cannot be looked at", extra=fields(file=self._path, error=error))
            return False
        is_settled, self._seen = now == self._seen, now
        if not is_settled or now == self._judged:
            return False
        self._judged = now
        return True

    def next_look_seconds(self, interval_seconds: float) -> float:
        """When to look next, if that is to be once per interval: soon after a look that found another content."""
        is_settled = self._seen is None or self._seen == self._judged
        return interval_seconds if is_settled else min(interval_seconds, SETTLE_SECONDS)
