"""The flags of the command line, apart from what they do."""

from __future__ import annotations

import re

import pytest

from exporter.cli.flags import flags

VALUES = {
    "--log.level": "info",
    "--log.format": "json",
    "--web.listen-address": "127.0.0.1:0",
    "--web.telemetry-path": "/metrics",
    "--web.max-requests": "1",
    "--config.auto-reload-interval": "30s",
}
SHOWN = re.findall(r"^  (--\S+)(?: (\S+))?", flags().format_help(), re.MULTILINE)
GIVEN = [f"{flag}={VALUES.get(flag, 'x')}" if takes else flag for flag, takes in SHOWN if flag != "--version"]


def test_every_flag_may_stand_once() -> None:
    assert len(GIVEN) > 10
    flags().parse_args(GIVEN)


@pytest.mark.parametrize("given", [flag for flag in GIVEN if not flag.startswith("--web.listen-address")])
def test_a_flag_that_may_stand_once_and_stands_twice_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not clear which of the two is meant; argparse would use the last one."""
    with pytest.raises(SystemExit) as ended:
        flags().parse_args([given, given])
    assert ended.value.code == 2
    name = given.partition("=")[0]
    assert f"argument {name}: is given twice; keep one" in capsys.readouterr().err


def test_there_may_be_many_listen_addresses() -> None:
    args = flags().parse_args(["--web.listen-address=:1", "--web.listen-address=:2"])
    assert args.web_listen_address == [":1", ":2"]


@pytest.mark.parametrize("flag", [flag for flag, takes in SHOWN if takes and not takes.startswith("{")])
def test_an_empty_value_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--storage.path=$DIR` with an unset variable would write into the working folder."""
    with pytest.raises(SystemExit) as ended:
        flags().parse_args([f"{flag}="])
    assert ended.value.code == 2
    assert f"argument {flag}: " in capsys.readouterr().err
