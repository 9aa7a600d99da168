"""Serve a scenario alone on loopback: ``python -m exporter.simulator``.

Prints ``listening on URL`` to stdout once it serves.  Stops on SIGTERM or SIGINT.  Exit status: 0 after a stop, 1 if it
cannot listen or write, 2 for wrong flags.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from exporter import streams
from exporter.simulator import configfile
from exporter.simulator.scenarios import SCENARIOS, Scenario, discovery
from exporter.simulator.server import Simulator

MAX_JITTER_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the flags, serve until a signal comes; returns the exit status."""
    streams.prepare()
    parser = _parser()
    flags = parser.parse_args(arguments)
    try:
        scenario = _scenario(flags)
    except ValueError as error:
        parser.error(str(error))
    host, port = flags.listen
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    world = scenario.world(speed=flags.speed)
    world.jitter_seconds = flags.jitter
    try:
        simulator = Simulator(world, host, port, with_control=True)
    except ValueError as error:
        parser.error(f"--listen: {error}")
    try:
        with simulator:
            if flags.write_config:
                configfile.write(flags.write_config, scenario, simulator.url)
            streams.write_out(f"listening on {simulator.url}\n".encode())
            stopped.wait()
    except OSError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    return 0


def _scenario(flags: argparse.Namespace) -> Scenario:
    """The scenario of the flags.  Raises ValueError for a flag or a value that it does not accept."""
    sizes = {name: getattr(flags, name) for name in ("numbers", "spaces") if getattr(flags, name) is not None}
    if not sizes:
        return SCENARIOS[flags.scenario](flags.seed)
    if SCENARIOS[flags.scenario] is not discovery:
        raise ValueError(f"--numbers and --spaces do not go with --scenario {flags.scenario}")
    return discovery(flags.seed, **sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="exporter.simulator",
        description="A CAMS endpoint on loopback. GET /_simulator/state shows its numbers; POST changes them, "
        "as exporter/simulator/control/__init__.py says.",
    )
    add = parser.add_argument
    add(
        "--listen",
        type=_address,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="address (default: 127.0.0.1 and a free port)",
    )
    add(
        "--scenario",
        choices=sorted(SCENARIOS),
        default="demo",
        help="what to serve: demo; discovery: the same, also with other --numbers and --spaces; "
        "steady: 300 numbers that do not change (default: demo)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of all random values (default: 0)")
    add("--numbers", type=int, metavar="N", help="size of the discovered account (default: 14)")
    add("--spaces", type=int, metavar="N", help="spaces of the discovered account (default: 2)")
    add("--speed", type=_speed, default=1.0, metavar="X", help="factor of its time (default: 1)")
    add(
        "--jitter",
        type=_jitter,
        default=0.0,
        metavar="SECONDS",
        help="maximum delay of a request before it is counted (default: 0)",
    )
    add("--write-config", type=Path, metavar="FILE", help="write a configuration of the exporter for this simulator")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT; write 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return speed


def _jitter(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_JITTER_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {MAX_JITTER_SECONDS:g}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
