"""`make demo-cluster`: two replicas as one over the demo's simulator, to try what happens when one of them is killed.

Each replica is a process, and so is the Redis or Valkey that they share; all end with this one.  Exit status: 0 after
SIGINT or SIGTERM; 1 if there is no server for the store, or if the store or both replicas ended.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from exporter import streams
from exporter.cli.demo import simulated
from exporter.config import format_duration
from exporter.config.durations import parse_duration
from exporter.config.settings import MAX_LEASE_SECONDS, MIN_LEASE_SECONDS
from exporter.threads import start_daemon

SERVERS = ("redis-server", "valkey-server")
ADDRESSES = ("127.0.0.1:10106", "127.0.0.1:10107")
STOP_SECONDS = 10.0
"""A child that has not ended so long after SIGTERM is killed."""

INTRODUCTION = """
Two replicas share two accounts.  All numbers are simulated.

{replicas}

Both show all numbers, and which replica polls each account.  In another terminal, kill one:

  kill -9 {pid}

Within {lease} the other polls its account: "accounts are polled by this replica from now on".  Ctrl-C ends the demo.

"""


class Replica:
    """One exporter, and a thread that repeats its log with its name in front."""

    def __init__(self, name: str, config: Path, address: str) -> None:
        self.name = name
        self.address = address
        self._command = [sys.executable, "-m", "exporter", f"--config.file={config}", f"--web.listen-address={address}"]
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, process_group=0)  # noqa: S603 - our own
        self._is_stopped = False
        self._reader = start_daemon(self._repeat, f"log-of-{name}")

    def stop(self) -> None:
        """End it, and read its log to the end."""
        self._is_stopped = True
        _end(self.process)
        self._reader.join(STOP_SECONDS)

    def _repeat(self) -> None:
        with self.process as process:
            for line in process.stderr or ():
                _say(f"{self.name} | {line.decode(errors='replace')}")
        if not self._is_stopped:
            status = process.returncode
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            _say(f"{self.name} {how}; to start it again:\n\n  {shlex.join(self._command)}\n\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the flags, run the demo until a signal comes; returns the exit status."""
    streams.prepare()
    flags = _parser().parse_args(arguments)
    server = next(filter(None, map(shutil.which, SERVERS)), None)
    if server is None:
        sys.stderr.write("demo-cluster needs redis-server, which is not installed: sudo apt-get install redis-server\n")
        return 1
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    with tempfile.TemporaryDirectory(prefix="cams-") as folder, simulated() as (_, text):
        socket, config = Path(folder, "store.sock"), Path(folder, "config.yml")
        section = f'cluster: {{url: "unix://{socket}", lease: {format_duration(flags.lease)}, replicas: 3}}\n'
        config.write_text(text + section, encoding="utf-8")
        with _store(server, socket) as store, _replicas(config, flags.addresses) as replicas:
            _say(_introduction(replicas, flags.lease))
            while not stopped.wait(0.2):
                if store.poll() is not None:
                    sys.stderr.write(f"{server} ended with status {store.returncode}, so the demo ends\n")
                    return 1
                if all(each.process.poll() is not None for each in replicas):
                    sys.stderr.write("both replicas ended, so the demo ends\n")
                    return 1
    return 0


def _introduction(replicas: Sequence[Replica], lease_seconds: float) -> str:
    lines = (f"  {each.name}  pid {each.process.pid}  http://{each.address}/numbers" for each in replicas)
    pid, lease = replicas[0].process.pid, format_duration(lease_seconds)
    return INTRODUCTION.format(replicas="\n".join(lines), pid=pid, lease=lease)


@contextlib.contextmanager
def _store(server: str, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The store, on a unix socket that only this user can reach.

    As each replica it has a process group of its own: Ctrl-C must not end it before them.
    """
    command = [server, "--port", "0", "--unixsocket", str(socket), "--dir", str(socket.parent), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)  # noqa: S603 - found in the path
    try:
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def _replicas(config: Path, addresses: Sequence[str]) -> Iterator[list[Replica]]:
    with contextlib.ExitStack() as stack:
        started = []
        for number, address in enumerate(addresses, 1):
            started.append(Replica(f"replica-{number}", config, address))
            stack.callback(started[-1].stop)
        yield started


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _say(text: str) -> None:
    streams.write_out(text.encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts.demo_cluster", description="Two replicas as one, over simulated numbers."
    )
    parser.add_argument(
        "--lease",
        type=_lease,
        default=5.0,
        metavar="DURATION",
        help="how long an account may rest when its replica dies (default: 5s)",
    )
    parser.add_argument(
        "--addresses", nargs=2, default=ADDRESSES, metavar="HOST:PORT", help=f"default: {' '.join(ADDRESSES)}"
    )
    return parser


def _lease(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not MIN_LEASE_SECONDS <= seconds <= MAX_LEASE_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is out of range; write 3s to 5m")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
