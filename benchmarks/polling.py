"""CPU per poll, and the maximum of polls a second of one process, over TLS, compared with the official SDK.

The server is its own process.  It answers at once and checks nothing.  The SDK (alibabacloud-cams20200606) calls it in
a loop on one thread, over one kept-alive connection, at full speed or at an even rate.  The exporter's own client does
the same.  Then the whole exporter is measured, with budget, schedule, threads, state and counters: ten accounts with a
budget that is too large for any machine, for the maximum, and an even rate.  They run in turn, round by round, so that
other load on the machine affects all equally.  CPU is that of the whole process by the kernel's clock.  A call costs
more at a low rate, because caches are cold and threads must be woken.  So a row is compared with the SDK's at the same
rate.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trustme

from benchmarks.fleet import Fleet
from benchmarks.harness import Options, Progress, Result, Table, Target, interleaved, median, milliseconds
from benchmarks.processes import Child, Served, exporter, total, wait_ready

NUMBERS = 10_000
ACCOUNTS = 10
REQUESTS = "cams_api_requests_total"
FLAT_OUT = 0.0
"""The rate 0 means full speed."""

SHARES = {10.0: 1.1, 100.0: 1.0}
"""By pace: the CPU that a poll of the whole exporter may take, as a share of the SDK's."""

PACES = (FLAT_OUT, *SHARES)
CEILING = 10_000.0
"""Configured polls a second to find the maximum."""

SETTLE_SECONDS = 1.5

Rows = dict[tuple[str, float], "_Row"]
SDK, CLIENT, EXPORTER = "official SDK in a loop", "the exporter's client in a loop", "the exporter"


@dataclass(slots=True)
class _Row:
    """One kind of caller: CPU seconds a call and calls a second, round by round."""

    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    def add(self, calls: float, cpu: float, wall: float) -> float:
        self.cpu.append(cpu / max(calls, 1.0))
        self.rate.append(calls / wall)
        return self.cpu[-1]


def run(options: Options, progress: Progress) -> Result:
    """Measure."""
    seconds, rounds = options.pick(3.0, 0.2), int(options.pick(3, 1))
    paces = (FLAT_OUT,) if options.quick else PACES
    rows = {(who, pace): _Row() for who in (SDK, CLIENT, EXPORTER) for pace in paces}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ca_file, certificate = _certificates(folder)
        endpoint = stack.enter_context(Child("benchmarks.endpoint", str(certificate)))
        url = endpoint.wait_for(r"serving (\S+)")[1]
        fleet = Fleet(int(options.pick(NUMBERS, 100)), url, ca_file, wanted_accounts=ACCOUNTS)
        config = folder / "config.yml"
        fleet.write(config, CEILING)
        served = stack.enter_context(exporter(config))
        wait_ready(served.url)

        def loop(who: str, pace: float) -> float:
            rate = [str(pace)] if pace != FLAT_OUT else []
            kind = "sdk" if who == SDK else "client"
            with Child("benchmarks.loops", kind, url, str(ca_file), str(seconds), *rate) as child:
                said = json.loads(child.output().strip().splitlines()[-1])
            return rows[who, pace].add(said["calls"], said["cpu"], said["wall"])

        def poll(pace: float) -> float:
            polls_per_second = CEILING if pace == FLAT_OUT else pace
            _set_pace(served, fleet, config, polls_per_second)
            time.sleep(options.pick(SETTLE_SECONDS, 0.2))
            _round(served, rows[EXPORTER, pace], seconds)
            _set_pace(served, fleet, config, 0)
            return rows[EXPORTER, pace].cpu[-1]

        _set_pace(served, fleet, config, 0)
        for pace in paces:
            progress(f"polling: {_pace(pace)}")
            interleaved(
                {SDK: partial(loop, SDK, pace), CLIENT: partial(loop, CLIENT, pace), EXPORTER: partial(poll, pace)},
                rounds,
            )
    return Result((_table(rows),), _targets(rows))


def _set_pace(served: Served, fleet: Fleet, config: Path, polls_per_second: float) -> None:
    fleet.write(config, polls_per_second)
    served.reload()


def _round(served: Served, row: _Row, seconds: float) -> None:
    calls, cpu, began = total(served.url, REQUESTS), served.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    cpu, wall = served.cpu_seconds() - cpu, time.monotonic() - began
    row.add(total(served.url, REQUESTS) - calls, cpu, wall)


def _certificates(folder: Path) -> tuple[Path, Path]:
    """A throw-away authority's certificate; a server's key and certificate in one file."""
    authority = trustme.CA()
    ca_file, certificate = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return ca_file, certificate


def _table(rows: Rows) -> Table:
    return Table(
        ("", "pace", "CPU a poll, ms", "polls/s", "CPU against the SDK"),
        tuple(
            (
                who,
                _pace(pace),
                milliseconds(median(row.cpu)),
                f"{median(row.rate):,.0f}",
                f"{median(row.cpu) / median(rows[SDK, pace].cpu):.2f} ×",
            )
            for (who, pace), row in sorted(rows.items(), key=lambda item: (item[0][1], -median(item[1].cpu)))
        ),
    )


def _targets(rows: Rows) -> tuple[Target, ...]:
    targets = []
    for pace in [pace for pace in SHARES if (EXPORTER, pace) in rows]:
        share = median(rows[EXPORTER, pace].cpu) / median(rows[SDK, pace].cpu)
        what = f"CPU per poll of the whole exporter, {_pace(pace)}"
        wanted = f"≤ {SHARES[pace]:.1f} × the SDK's"
        targets.append(Target(what, wanted, f"{share:.2f} ×", share <= SHARES[pace]))
    rate = median(rows[EXPORTER, FLAT_OUT].rate)
    targets.append(Target("polls/s of one process over TLS", "≥ 1,000", f"{rate:,.0f}", rate >= 1_000))
    return tuple(targets)


def _pace(pace: float) -> str:
    return "flat out" if pace == FLAT_OUT else f"{pace:.0f}/s"
