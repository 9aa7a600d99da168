"""Log lines for people (logfmt) and for collectors (JSON), on stderr.

A call gives facts as fields, not as prose: ``logger.info("status changed", extra=fields(number=..., status=...))``.
No secret is ever a field; a number is logged by its label.

Logging never waits for the reader: a thread writes the lines, which wait in a bounded queue.  Lines that find the queue
full are dropped and counted.  The count is logged when the reader reads again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

from exporter.streams import write_all
from exporter.threads import start_daemon

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
LogFormat = Literal["logfmt", "json"]

MAX_LINES = 10_000
"""Lines that wait for a slow reader, about 2 MB."""

FLUSH_SECONDS = 1.0
"""How long the process waits at its end until the last lines are written."""

_LEVEL_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}
_FIELDS = "fields"

logger = logging.getLogger(__name__)


def fields(**facts: object) -> dict[str, object]:
    """The `extra` of a logging call that carries `facts`."""
    return {_FIELDS: facts}


def configure(
    level: str, fmt: LogFormat, write: Callable[[str], object] | None = None, max_lines: int = MAX_LINES
) -> Log:
    """Write every log record from `level` (a key of `LEVELS`) on, by default to stderr."""
    log = Log(LineFormatter(fmt), write or _to_stderr, max_lines)
    root = logging.getLogger()
    root.handlers[:] = [log]
    root.setLevel(logging.WARNING)  # what libraries log below a warning does not concern the user
    logging.getLogger("exporter").setLevel(LEVELS[level])
    logging.captureWarnings(capture=True)
    return log


class Log(logging.Handler):
    """A handler whose daemon thread calls `write` with one line after the other.

    `write` may block; a line for which it raises OSError counts as dropped.
    """

    def __init__(self, formatter: logging.Formatter, write: Callable[[str], object], max_lines: int) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._write = write
        self._lines: queue.Queue[str | threading.Event] = queue.Queue(max_lines)
        self._dropped = 0  # changed under the handler's lock
        self._failed = self._said = 0  # changed by the thread
        self._has_thread = True
        try:
            start_daemon(self._run, "log")
        except OSError:  # the machine has no thread left: lines are written, even if slowly
            self._has_thread = False

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record now, since its facts may change, and queue the line without waiting."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of `logging` does: a fault in a text stops no work
            self.handleError(record)
            return
        if not self._has_thread:
            self._put(line)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def drain(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until all queued lines are written, for at most `seconds` (twice that if the queue is full)."""
        if self._has_thread:
            drained = threading.Event()
            with contextlib.suppress(queue.Full):
                self._lines.put(drained, timeout=seconds)
                drained.wait(seconds)

    def _run(self) -> None:
        while True:
            item = self._lines.get()
            if isinstance(item, str):
                self._failed += not self._put(item)
            missing = self._dropped + self._failed - self._said
            if missing and self._lines.empty():
                text, facts = "log lines were dropped, the reader was slow", fields(lines=missing)
                note = logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None, extra=facts)
                if self._put(self.format(note)):
                    self._said += missing
            if isinstance(item, threading.Event):  # all lines before it are written
                item.set()

    def _put(self, line: str) -> bool:
        try:
            self._write(f"{line}\n")
        except (OSError, ValueError):  # a full device, a reader that left, a stream that was closed
            return False
        return True


def _to_stderr(text: str) -> None:
    """Write past the stream's buffer: a write that blocks would hold its lock."""
    write_all(sys.stderr.fileno(), text.encode("utf-8", "backslashreplace"))


class LineFormatter(logging.Formatter):
    """One record as one line, whatever its texts contain.

    As logfmt: ``ts=2026-01-02T03:04:05.678Z level=info msg="status changed" account=main status=EXPIRED``.
    As json: the same facts as one object.  Lone surrogates stay escaped, so the line is always valid UTF-8.
    """

    def __init__(self, fmt: LogFormat) -> None:
        super().__init__()
        self._is_json = fmt == "json"

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        moment = datetime.fromtimestamp(record.created, UTC)
        facts: dict[str, object] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _LEVEL_NAMES.get(record.levelno, "error"),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        given = getattr(record, _FIELDS, None)
        if isinstance(given, Mapping):
            facts |= {key: value for key, value in given.items() if key not in facts}
        if record.exc_info and record.exc_info[0] is not None:
            facts["exception"] = self.formatException(record.exc_info)
        if self._is_json:
            return json.dumps(facts, default=str)
        return " ".join(f"{key}={_logfmt_value(value)}" for key, value in facts.items() if value is not None)


def _logfmt_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text and all(ch.isascii() and ch.isprintable() and ch not in ' ="\\' for ch in text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
