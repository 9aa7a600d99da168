"""Log lines: one record is one line, for any content."""

from __future__ import annotations

import errno
import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from exporter.logs import LineFormatter, Log, LogFormat, configure, fields
from tests.support.patience import PATIENCE_SECONDS

HOSTILE = 'a "quoted"\nsecond line\x00\x1b[31m\u2028 = \\ \ud800'


@pytest.fixture(autouse=True)
def _root_logger_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("exporter")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(capture=False)


def logged(fmt: LogFormat, level: str = "info", **facts: object) -> str:
    stream = io.StringIO()
    log = configure(level, fmt, stream.write)
    logging.getLogger("exporter.test").info("status changed", extra=fields(**facts))
    log.drain(PATIENCE_SECONDS)
    return stream.getvalue()


def test_logfmt_quotes_only_what_needs_it() -> None:
    line = logged("logfmt", account="main", status="NOT VERIFIED", seconds=1.5, ok=True, none=None, empty="")
    assert line.startswith("ts=20")
    assert line.endswith(
        'level=info logger=exporter.test msg="status changed" account=main status="NOT VERIFIED" seconds=1.5 ok=true'
        ' empty=""\n'
    )


def test_json_carries_the_same_facts() -> None:
    facts = json.loads(logged("json", account="main", seconds=1.5))
    assert facts.pop("ts").endswith("Z")
    assert facts == {
        "level": "info",
        "logger": "exporter.test",
        "msg": "status changed",
        "account": "main",
        "seconds": 1.5,
    }


@pytest.mark.parametrize("fmt", ["logfmt", "json"])
def test_hostile_text_stays_on_one_line_and_is_plain_ascii(fmt: LogFormat) -> None:
    """An API message must not forge log lines or control the terminal."""
    line = logged(fmt, error=HOSTILE)
    assert line.count("\n") == 1
    assert line.isascii()
    assert "\x1b" not in line


def test_a_field_cannot_take_the_place_of_a_fixed_one() -> None:
    assert json.loads(logged("json", msg="forged"))["msg"] == "status changed"


def test_levels_below_the_chosen_one_are_left_out() -> None:
    assert logged("logfmt", level="warn") == ""


def test_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    log = configure("debug", "logfmt", stream.write)
    logging.getLogger("urllib3").debug("chatter with a URL in it")
    logging.getLogger("urllib3").warning("trouble")
    log.drain(PATIENCE_SECONDS)
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    log = configure("info", "logfmt", stream.write)
    try:
        int("broken")
    except ValueError:
        logging.getLogger("exporter").exception("a poll failed")
    log.drain(PATIENCE_SECONDS)
    assert "ValueError: invalid literal" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_what_is_not_there_is_left_out_and_letters_of_all_scripts_stay_legible() -> None:
    """A search for an account's name must find it; characters that could break the line are escaped."""
    stream = io.StringIO()
    log = configure("info", "logfmt", stream.write)
    logging.getLogger("exporter").info("x", extra=fields(http_status=None, account="Zürich", text="\u202e\n"))
    log.drain(PATIENCE_SECONDS)
    assert stream.getvalue().endswith('msg=x account="Zürich" text="\\u202e\\n"\n')


class Pipe:
    """A stream whose write blocks until it is read, and the written lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entered = threading.Event()
        self.is_read = threading.Event()

    def write(self, text: str) -> None:
        self.entered.set()
        assert self.is_read.wait(PATIENCE_SECONDS)
        self.lines.append(text)


def test_logging_never_waits_and_dropped_lines_are_counted_and_logged() -> None:
    """A pipe that nobody reads: lines that fit into the queue come later, the others are only counted."""
    pipe = Pipe()
    log = Log(LineFormatter("logfmt"), pipe.write, max_lines=5)
    ours = logging.getLogger("exporter.test")
    ours.addHandler(log)
    ours.warning("first")
    assert pipe.entered.wait(PATIENCE_SECONDS)
    for number in range(12):
        ours.warning("number %d", number)  # returns although nothing is read
    ours.removeHandler(log)
    log.drain(0.0)  # as at the end of the process, which does not wait either
    assert pipe.lines == []
    pipe.is_read.set()
    log.drain(PATIENCE_SECONDS)
    shown = [line.partition("msg=")[2].strip() for line in pipe.lines]
    assert shown[:6] == ["first", *(f'"number {number}"' for number in range(5))]
    assert shown[6:] == ['"log lines were dropped, the reader was slow" lines=7']


def test_a_record_is_written_as_it_was_when_it_was_logged() -> None:
    pipe, facts = Pipe(), ["then"]
    log = Log(LineFormatter("logfmt"), pipe.write, max_lines=5)
    log.handle(logging.makeLogRecord({"msg": "x", "fields": {"facts": facts}}))
    facts[0] = "now"
    pipe.is_read.set()
    log.drain(PATIENCE_SECONDS)
    assert "then" in pipe.lines[0]


def test_lines_that_a_full_device_refused_are_counted_and_said_once_it_takes_some_again() -> None:
    taken: list[str] = []
    is_full = True

    def write(text: str) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "no space left")
        taken.append(text)

    log = Log(LineFormatter("logfmt"), write, max_lines=5)
    for _ in range(3):
        log.handle(logging.makeLogRecord({"msg": "lost"}))
        log.drain(PATIENCE_SECONDS)
    is_full = False
    log.handle(logging.makeLogRecord({"msg": "kept"}))
    log.drain(PATIENCE_SECONDS)
    assert ["kept" in line for line in taken] == [True, False]
    assert "lines=3" in taken[1]
