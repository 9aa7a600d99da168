"""Log lines for people (logfmt) and for collectors (JSON), on stderr.

A call gives facts as fields, not as prose: ``logger.info("status changed", extra=fields(number=..., status=...))``.
No secret is ever a field; a number is logged by its label.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
LogFormat = Literal["logfmt", "json"]

_LEVEL_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn"}
_FIELDS = "fields"


def fields(**facts: object) -> dict[str, object]:
    """The `extra` of a logging call that carries `facts`."""
    return {_FIELDS: facts}


def configure(level: str, fmt: LogFormat, stream: TextIO | None = None) -> None:
    """Send every log record to `stream` (stderr by default) from `level` (a key of `LEVELS`) on."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # what libraries say below a warning is about them, not about us
    logging.getLogger("exporter").setLevel(LEVELS[level])
    logging.captureWarnings(capture=True)


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
