"""The flags of the command, named as Prometheus names them.  This module only parses them."""

from __future__ import annotations

import argparse
import functools
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from exporter import __version__
from exporter.cli.revision import revision
from exporter.logs import LEVELS
from exporter.web.connections.listen import parse_listen_address
from exporter.web.routes import parse_telemetry_path

T = TypeVar("T")


def flags() -> argparse.ArgumentParser:
    """The parser of the flags."""
    parser = argparse.ArgumentParser(
        prog="cams_exporter",
        description="Prometheus exporter for the verification of WhatsApp phone numbers on Alibaba Cloud (CAMS).",
        allow_abbrev=False,
        formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=36, width=110),
    )

    def add(flag: str, **options: Any) -> None:
        """The value of ``--web.max-requests`` is `web_max_requests`, and so on."""
        dest = re.sub("[.-]", "_", flag.removeprefix("--"))
        parser.add_argument(flag, dest=dest, **{"action": _Single, **options})

    add(
        "--config.file",
        type=_checked(_path),
        metavar="FILE",
        help="configuration; a pipe or /dev/stdin is read once (default: config.yml)",
    )
    add(
        "--config.check",
        nargs=0,
        help="check the configuration and the files that it names, print each account's budget plan and exit",
    )
    add(
        "--config.syntax-only",
        nargs=0,
        help="with --config.check: read the configuration file only, no key, number and CA files",
    )
    add(
        "--config.expand-environment-variables",
        nargs=0,
        help="replace ${NAME} in strings of the configuration file by the variable's value, and $$ by $",
    )
    add(
        "--config.enable-auto-reload",
        nargs=0,
        help="read the configuration again when the content of its file has changed",
    )
    add(
        "--config.auto-reload-interval",
        type=_checked(_interval),
        metavar="DURATION",
        help="with --config.enable-auto-reload: how often to look, 1s or longer (default: 30s)",
    )
    add(
        "--once",
        nargs=0,
        help="list, poll and check all numbers once, print the metrics to stdout and exit; --web. flags have no effect",
    )
    add(
        "--once.output",
        type=_checked(_path),
        metavar="FILE",
        help="with --once: replace FILE atomically instead, for node_exporter's textfile collector (name it *.prom)",
    )
    add("--demo", nargs=0, help="serve simulated numbers: no configuration, credentials or network needed")
    add(
        "--web.listen-address",
        action="append",
        type=_checked(lambda text: str(parse_listen_address(text))),
        metavar="HOST:PORT",
        help="address to serve on, repeatable; port 0 picks a free one (default: :10106)",
    )
    add(
        "--web.telemetry-path",
        type=_checked(parse_telemetry_path),
        default="/metrics",
        metavar="PATH",
        help="path of the metrics (default: %(default)s)",
    )
    add(
        "--web.config.file",
        type=_checked(_path),
        metavar="FILE",
        help="TLS, client certificates, passwords and headers, in the schema of Prometheus's exporters (default: none)",
    )
    add(
        "--web.enable-lifecycle", nargs=0, help="let POST or PUT /-/reload read the configuration again, as SIGHUP does"
    )
    add(
        "--web.systemd-socket",
        nargs=0,
        help="serve on the sockets that systemd hands over, not at --web.listen-address",
    )
    add("--web.disable-exporter-metrics", nargs=0, help="leave out process_* and python_info")
    add(
        "--web.max-requests",
        type=_checked(_count),
        default=40,
        metavar="N",
        help="scrapes served at once, more get 503; 0: no limit (default: %(default)s)",
    )
    add(
        "--storage.path",
        type=_checked(_path),
        metavar="DIR",
        help="keep each number's last answer in DIR, which is made if it is missing, over a restart (default: off)",
    )
    add(
        "--kit.output",
        type=_checked(_path),
        metavar="DIR",
        help="write alert rules, dashboards, example configurations and systemd units into DIR and exit",
    )
    add("--log.level", choices=list(LEVELS), default="info", help="(default: %(default)s)")
    add("--log.format", choices=["logfmt", "json"], default="logfmt", help="(default: %(default)s)")
    add(
        "--version",
        action="version",
        version=f"cams_exporter, version {__version__} (revision: {revision()}, python: {platform.python_version()})",
    )
    return parser


class _Single(argparse.Action):
    """Stores the value of a flag, or True if it takes none (`nargs=0`); refuses the same flag twice."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        if options.get("nargs") == 0:
            options["default"] = False
        super().__init__(option_strings, dest, **options)

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: Any, _flag: str | None = None) -> None:
        given: set[str] = vars(namespace).setdefault("given", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "is given twice; keep one")
        given.add(self.dest)
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


def _interval(text: str) -> float:
    from exporter.config.durations import parse_duration  # noqa: PLC0415 - a tenth of a second, only for this flag

    seconds = parse_duration(text)
    if seconds < 1:
        raise ValueError(f"{text!r} is too short; write 1s or longer")
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _path(text: str) -> Path:
    if not text:
        raise ValueError("is empty, and would mean the working folder; write a path")
    return Path(text)


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` for argparse, which then shows the reason and not only "invalid value"."""

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked
