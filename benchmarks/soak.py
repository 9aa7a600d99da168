"""The soak: polls 10,000 numbers for minutes while the API fails at random, then checks the result.

    python -m benchmarks.soak [--seconds 600] [--numbers 10000] [--seed N]

An exporter process polls the simulator: 50 accounts at 8 of their 10 requests per second (the rest allows 250 ms of
jitter on a busy machine), every number once a minute.  Sometimes the next few requests get a fault: connections that
are reset, hang or drip; broken, huge or hostile bodies; known and unknown errors; throttling.  It is scraped once a
second, like by Prometheus.  The checks are in `verdict`; exit status 1 if one fails. Prints a summary, writes nothing.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.fleet import account_name, phone_number, space
from benchmarks.processes import Scraper, Served, exporter, is_ready
from benchmarks.verdict import Moment, Seen, judge
from exporter.simulator import Refusal, Simulator, World, faults
from exporter.simulator.faults import Fault

ACCOUNTS = 50
QPS, QUOTA = 8, 10
INTERVAL_SECONDS = 60
TIMEOUT_SECONDS = 5
LATENCY_SECONDS = (0.02, 0.3)
WARM_UP_SECONDS = 30.0
"""Time for the first pass.  After it the first hanging answers and their threads have ended."""

SILENT_INTERVALS = 2.5
"""A number without a poll for this many intervals counts as forgotten: retries and throttles delay it by less.  A soak
of at most one interval checks the first pass only."""

MAX_BURST = 5
THROTTLE_SECONDS = 20.0
"""An account takes 100 s to recover from a throttle, so they are rare."""

FAULTS: tuple[Callable[[], Fault], ...] = (
    faults.reset,
    lambda: faults.reset(after_bytes=40),
    faults.close,
    lambda: faults.hang(30.0),
    faults.drip_headers,
    faults.drip_body,
    faults.truncated,
    faults.overlong,
    lambda: faults.huge(8),
    faults.html,
    faults.bare,
    faults.codeless,
    faults.redirect,
    faults.unknown_codes,
    faults.invalid_utf8,
    lambda: faults.nested(10_000),
    faults.wrong_types,
    faults.null_data,
    lambda: faults.status(faults.HOSTILE_TEXT),
    lambda: faults.status("REVOKED"),
    faults.message,
    lambda: faults.error(500, "InternalError"),
    lambda: faults.error(200, "Product.Odd"),
)


@dataclass(frozen=True, slots=True)
class Soak:
    """Duration, size, and seed."""

    seconds: float
    numbers: int
    seed: int
    warm_up_seconds: float = WARM_UP_SECONDS

    @property
    def accounts(self) -> int:
        return min(ACCOUNTS, self.numbers)

    def world(self) -> World:
        """A world with every number, and a log for all arrivals."""
        world = World(seed=self.seed, latency_seconds=LATENCY_SECONDS, arrivals_kept=5_000_000)
        for account in range(self.accounts):
            world.add_account(account_name(account), f"key-{account:03d}", "secret", rate_limit=QUOTA)
        for index in range(self.numbers):
            account = index % self.accounts
            world.add_number(account_name(account), space(account), phone_number(index))
        return world

    def config(self, endpoint: str) -> str:
        """The exporter's configuration for it."""
        lines = [
            f"scrape_interval: {INTERVAL_SECONDS}s",
            f"api: {{endpoint: '{endpoint}', timeout: {TIMEOUT_SECONDS}s}}",
            "accounts:",
        ]
        for account in range(self.accounts):
            credentials = f"{{type: access_key, access_key_id: key-{account:03d}, access_key_secret: secret}}"
            lines += [f"  - name: {account_name(account)}", f"    qps: {QPS}", f"    quota: {QUOTA}"]
            lines += [f"    credentials: {credentials}", "    numbers:"]
            for index in range(account, self.numbers, self.accounts):
                lines.append(f'      - {{phone_number: "{phone_number(index)}", cust_space_id: {space(account)}}}')
        return "\n".join(lines) + "\n"


class Mischief:
    """Injects faults into the next requests, from time to time; call `step` often."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self._next_at = self._throttle_at = time.monotonic()

    def step(self) -> None:
        now = time.monotonic()
        if now >= self._next_at:
            fault = self._chance.choice(FAULTS)()
            self._world.inject(fault, self._chance.randint(1, MAX_BURST))
            self._next_at = now + self._chance.uniform(0.1, 1.0)
        if now >= self._throttle_at:
            self._world.inject(faults.error(Refusal.FLOW_CONTROL.status, Refusal.FLOW_CONTROL.code))
            self._throttle_at = now + self._chance.uniform(0.5, 1.5) * THROTTLE_SECONDS


class Watch:
    """Scrapes once a second while `mischief` goes on."""

    def __init__(self, served: Served, mischief: Mischief) -> None:
        self._served = served
        self._mischief = mischief
        self._scraper = Scraper(served.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scraper.close()

    def moment(self, at: float) -> Moment:
        """Scrape, look at the process, and wait for the rest of a second."""
        began = time.monotonic()
        seconds = self._scraper.scrape()
        seen = Moment(at, self._served.rss_mib(), self._served.threads(), seconds)
        while time.monotonic() - began < 1.0:
            self._mischief.step()
            time.sleep(0.05)
        return seen

    def moments(self, seconds: float) -> list[Moment]:
        """One a second."""
        began = time.monotonic()
        found = []
        while (at := time.monotonic() - began) < seconds:
            found.append(self.moment(at))
        return found


def run(soak: Soak) -> tuple[Seen, str]:
    """Run the soak; returns the observations, and a line about its size."""
    world = soak.world()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Simulator(world) as simulator:
        config = Path(folder) / "config.yml"
        config.write_text(soak.config(simulator.url), encoding="utf-8")
        with exporter(config) as served, Watch(served, Mischief(world, soak.seed)) as watch:
            while not is_ready(served.url):
                watch.moments(1.0)
            watch.moments(soak.warm_up_seconds)
            began = world.clock.monotonic()
            moments = watch.moments(soak.seconds)
            lately = max(began, world.clock.monotonic() - SILENT_INTERVALS * INTERVAL_SECONDS)
    return _seen(soak, world, moments, lately if soak.seconds > INTERVAL_SECONDS else 0.0)


def _seen(soak: Soak, world: World, moments: list[Moment], lately: float) -> tuple[Seen, str]:
    """`lately` is the instant since which every number must have been polled."""
    arrivals = world.arrivals()
    asked = {arrival.phone_number for arrival in arrivals if arrival.at >= lately}
    outcomes = world.outcomes()
    seen = Seen(
        moments=moments,
        busiest={name: world.surely_in_a_second(name) for name in world.accounts},
        quota=QUOTA,
        silent=[phone for phone in map(phone_number, range(soak.numbers)) if phone not in asked],
        throttled=outcomes[Refusal.THROTTLED.code],  # the injected ones have another code
    )
    failed = sum(outcomes.values()) - outcomes["OK"]
    return seen, f"{len(arrivals):,} requests, {failed:,} of which met one of {len(outcomes) - 1} faults"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description="Poll a faulty API for a while, and judge.")
    parser.add_argument("--seconds", type=float, default=600.0, help="after the first pass and a warm-up")
    parser.add_argument("--numbers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="another seed, other faults")
    args = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # the simulator's faults write to closed connections
    print(f"soaking {args.numbers:,} numbers for {args.seconds:.0f} s, seed {args.seed}", flush=True)
    seen, size = run(Soak(args.seconds, args.numbers, args.seed))
    print(size)
    checks = judge(seen)
    for check in checks:
        print(f"{'ok    ' if check.ok else 'FAILED'}  {check.what:<44}  {check.wanted:<20}  {check.found}")
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
