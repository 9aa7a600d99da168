"""Log lines: one record is one line, whatever it holds."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from exporter.logs import LogFormat, configure, fields

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
    configure(level, fmt, stream)
    logging.getLogger("exporter.test").info("status changed", extra=fields(**facts))
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
    """An API message must not forge log lines or drive the terminal."""
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
    configure("debug", "logfmt", stream)
    logging.getLogger("urllib3").debug("chatter with a URL in it")
    logging.getLogger("urllib3").warning("trouble")
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    try:
        int("broken")
    except ValueError:
        logging.getLogger("exporter").exception("a poll failed")
    assert "ValueError: invalid literal" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_what_is_not_there_is_left_out_and_letters_of_all_scripts_stay_legible() -> None:
    """Who greps for an account's name must find it; what could break the line is escaped as before."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    logging.getLogger("exporter").info("x", extra=fields(http_status=None, account="Zürich", text="\u202e\n"))
    assert stream.getvalue().endswith('msg=x account="Zürich" text="\\u202e\\n"\n')
