"""Log lines for people (logfmt) and for collectors (JSON), on stderr.

A call gives facts as fields, not as prose: ``logger.info("status changed", extra=fields(number=..., status=...))``.
No secret is ever a field; a number is logged by its label.

Who logs never waits for who reads: lines pass a bounded queue to a thread that writes them.  Those that find it full
are dropped, counted, and the count is logged once the reader is back.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Literal, TextIO

from exporter.streams import write_all

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
LogFormat = Literal["logfmt", "json"]

MAX_LINES = 10_000
"""Lines that wait for a slow reader, some 2 MB."""

FLUSH_SECONDS = 1.0
"""What the last lines get to go out in when the process ends."""

_LEVEL_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}
_FIELDS = "fields"

logger = logging.getLogger(__name__)


def fields(**facts: object) -> dict[str, object]:
    """The `extra` of a logging call that carries `facts`."""
    return {_FIELDS: facts}


def configure(level: str, fmt: LogFormat, stream: TextIO | None = None, max_lines: int = MAX_LINES) -> Log:
    """Send every log record to `stream` (stderr by default) from `level` (a key of `LEVELS`) on."""
    formatter = JsonFormatter() if fmt == "json" else LogfmtFormatter()
    log = Log(formatter, _writer(stream if stream is not None else sys.stderr), max_lines)
    root = logging.getLogger()
    root.handlers[:] = [log.handler]
    root.setLevel(logging.WARNING)  # what libraries say below a warning is about them, not about us
    logging.getLogger("exporter").setLevel(LEVELS[level])
    logging.captureWarnings(capture=True)
    return log


class Log:
    """A handler for the root logger, and the thread behind it which calls `write` with one line after the other.

    `write` may block for as long as it likes; a line for which it raises OSError counts as dropped.
    """

    def __init__(self, formatter: logging.Formatter, write: Callable[[str], None], max_lines: int) -> None:
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(max_lines)
        self._handler = _Enqueueing(self._lines)
        self._handler.setFormatter(formatter)
        self._listener = _Writing(self._lines, self._handler, write)
        self.handler: logging.Handler = self._handler
        try:
            self._listener.start()
        except RuntimeError:  # the machine has no thread left: better slow than silent
            self.handler = _Direct(write)
            self.handler.setFormatter(formatter)

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Let what waits go out, for at most `seconds`; what is logged later may go nowhere."""
        if self.handler is self._handler and self.flush(seconds):
            with contextlib.suppress(queue.Full):
                self._listener.enqueue_sentinel()  # not `stop`: what was logged since may never get out

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all that was logged is written, for at most `seconds`; returns whether it is."""
        with self._lines.all_tasks_done:
            return self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, seconds)


class _Enqueueing(QueueHandler):
    """Formats a record at once, since what it speaks of may change, and hands the line over without waiting."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1  # the handler's lock is held


class _Writing(QueueListener):
    """Writes the lines, on a daemon thread."""

    def __init__(
        self, lines: queue.Queue[logging.LogRecord], handler: _Enqueueing, write: Callable[[str], None]
    ) -> None:
        super().__init__(lines)
        self._lines = lines
        self._handler = handler
        self._write = write
        self._failed = 0
        self._said = 0

    def handle(self, record: logging.LogRecord) -> None:
        """Write one line; once none waits any more, say how many are missing."""
        self._put(record.getMessage())
        missing = self._handler.dropped + self._failed - self._said
        if missing and self._lines.empty():
            text, facts = "log lines were dropped, the reader was slow", fields(lines=missing)
            note = logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None, extra=facts)
            if self._put(self._handler.format(note), counts=False):
                self._said += missing

    def _put(self, line: str, *, counts: bool = True) -> bool:
        try:
            self._write(f"{line}\n")
        except (OSError, ValueError):  # a full device, a reader that left, a stream that was closed
            self._failed += counts
            return False
        return True


class _Direct(logging.Handler):
    """Writes on the thread that logs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._write(f"{self.format(record)}\n")


def _writer(stream: TextIO) -> Callable[[str], None]:
    """What writes to `stream`, past its buffers if it has a descriptor: a write that blocks holds their lock."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # in memory

        def write(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write
    return lambda text: write_all(descriptor, text.encode("utf-8", "backslashreplace"))


class LogfmtFormatter(logging.Formatter):
    """``ts=2026-01-02T03:04:05.678Z level=info msg="status changed" account=main status=EXPIRED``."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line, whatever its texts hold."""
        return " ".join(
            f"{key}={_logfmt_value(value)}" for key, value in _facts(self, record).items() if value is not None
        )


class JsonFormatter(logging.Formatter):
    """The same facts as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line; lone surrogates stay escaped, so the line is always valid UTF-8."""
        return json.dumps(_facts(self, record), default=str)


def _facts(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, object]:
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
        facts["exception"] = formatter.formatException(record.exc_info)
    return facts


def _logfmt_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text and all(ch.isascii() and ch.isprintable() and ch not in ' ="\\' for ch in text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
