"""What one poll costs in calls: modules of the exporter that it passes, steps between them, calls.

One number is polled once a second.  The server on loopback answers slowly.  Poller, client and state are the real ones.
`threading.setprofile` sees every call on the poller's threads.  The first polls are not counted, so the connection is
made already.  A poll's calls are those between two instants, each midway between two requests.  Threads may wake in
another order now and then: what came most often is shown.

A step is a call from a function of one module to a function of another; calls through other packages, such as
`contextlib`, count as if they were made directly.  A generator counts each time it is resumed.  *The poll* is what
the worker's thread does, from the client to the state; *with the loop* adds the thread that decides what is polled.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

from benchmarks.harness import Options, Progress, Result, Table, Target
from exporter.app import App
from exporter.config import load
from exporter.model import SystemClock

WARM_UP_POLLS = 3
ANSWER_SECONDS = 0.1
"""Longer than the poller's loop needs to go back to sleep, so that its steps come in the same order each time."""

MAX_STEPS = 50
"""A poll once took 92."""

PACKAGE = "exporter."
BODY = (
    b'{"RequestId":"01B2C3D4-E5F6-7890-ABCD-000000000001","Code":"OK","Message":"None",'
    b'"Data":{"PhoneNumber":"8613800000000","Id":"1","CodeVerificationStatus":"VERIFIED"}}'
)
CONFIG = """\
scrape_interval: 1s
api:
  endpoint: {url}
accounts:
  - name: main
    credentials: {{type: access_key, access_key_id: key, access_key_secret: secret}}
    numbers:
      - {{phone_number: "8613800000000", cust_space_id: cams-1}}
"""

LOOP_THREAD = "poller-main"


class Call(NamedTuple):
    """One call of a function of ours; `source` is the calling module, empty where a thread begins."""

    on_loop: bool
    source: str
    called: str
    function: str

    @property
    def is_step(self) -> bool:
        return self.source not in ("", self.called)


class _Server(ThreadingHTTPServer):
    """Answers VERIFIED, and notes when it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked_at: list[float] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        server.asked_at.append(time.monotonic())
        time.sleep(ANSWER_SECONDS)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_request(self, *_: object) -> None:
        """Not on stderr, where the progress is."""


def run(options: Options, progress: Progress) -> Result:
    """Count."""
    polls = int(options.pick(9, 1))
    progress(f"steps: {WARM_UP_POLLS + polls + 1} s")
    (poll, poll_count), (loop, loop_count) = usual(polls)
    calls = poll + loop
    rows = [
        (name, str(len(_modules(part))), str(sum(call.is_step for call in part)), str(len(part)))
        for name, part in (("the poll", poll), ("with the loop", calls))
    ]
    said = f"The poll, as {poll_count} of {polls} were, and the loop, as it was {loop_count} times"
    found = Table(("", "modules", "steps", "calls"), tuple(rows), said)
    steps = sum(call.is_step for call in poll)
    target = Target("steps between modules of one poll", f"≤ {MAX_STEPS}", str(steps), steps <= MAX_STEPS)
    return Result((found, _edges(calls), _functions(calls)), (target,))


def _modules(calls: Sequence[Call]) -> set[str]:
    return {call.called for call in calls}


def _edges(calls: Sequence[Call]) -> Table:
    counts = Counter((call.source, call.called, call.on_loop) for call in calls if call.is_step)
    edges = sorted({(source, called) for source, called, _ in counts})
    rows = [(*edge, str(counts[*edge, False]), str(counts[*edge, True])) for edge in edges]
    return Table(("from", "to", "the poll", "the loop"), tuple(rows), "Steps from module to module")


def _functions(calls: Sequence[Call]) -> Table:
    counts = Counter((call.called, call.function, call.on_loop) for call in calls)
    names = sorted({(called, function) for called, function, _ in counts})
    rows = [(*name, str(counts[*name, False]), str(counts[*name, True])) for name in names]
    return Table(("module", "function", "the poll", "the loop"), tuple(rows), "Calls by function")


def usual(polls: int) -> list[tuple[list[Call], int]]:
    """The most usual calls of so many polls, and how often they came so: of the poll itself, and of the loop."""
    seen: list[tuple[float, Call]] = []
    with _server() as server, TemporaryDirectory(prefix="bench-") as folder, _profiled(seen):
        config = Path(folder) / "config.yml"
        config.write_text(CONFIG.format(url=server.url))
        app = App(load(config), SystemClock(), version="0", revision="")
        app.start()
        while len(server.asked_at) < WARM_UP_POLLS + polls + 1:
            time.sleep(0.05)
        time.sleep(2 * ANSWER_SECONDS)
        app.stop()
    marks = [(before + after) / 2 for before, after in itertools.pairwise(server.asked_at)][WARM_UP_POLLS - 1 :]
    found = [[call for at, call in seen if start <= at < end] for start, end in itertools.pairwise(marks)]
    parts = []
    for on_loop in (False, True):
        kinds = Counter(tuple(sorted(call for call in calls if call.on_loop is on_loop)) for calls in found)
        kind, count = kinds.most_common(1)[0]
        parts.append((list(kind), count))
    return parts


@contextlib.contextmanager
def _server() -> Iterator[_Server]:
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextlib.contextmanager
def _profiled(seen: list[tuple[float, Call]]) -> Iterator[None]:
    """Note each call of the exporter's functions on the threads that are started in here."""

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (called := _module(frame)):
            on_loop = threading.current_thread().name == LOOP_THREAD
            call = Call(on_loop, _short(_caller(frame)), _short(called), frame.f_code.co_qualname)
            seen.append((time.monotonic(), call))

    threading.setprofile(note)
    try:
        yield
    finally:
        threading.setprofile(None)


def _caller(frame: FrameType) -> str:
    """The nearest module of ours that the call came from."""
    up = frame.f_back
    while up is not None:
        if found := _module(up):
            return found
        up = up.f_back
    return ""


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__", "")
    return name if isinstance(name, str) and name.startswith(PACKAGE) else ""


def _short(module: str) -> str:
    return module.removeprefix(PACKAGE)
