"""The soak: 10,000 numbers polled for minutes while the API misbehaves at random, and a verdict.

    python -m benchmarks.soak [--seconds 600] [--numbers 10000] [--seed N]

An exporter process polls the simulator: 50 accounts at 8 of their 10 requests per second (what stays free bears
250 ms of jitter on a busy machine), every number once a minute.  Now and then the next few requests meet a fault:
connections that are reset, hang or drip, bodies that are broken, huge or hostile, errors known and unknown, throttling.
It is scraped once a second as Prometheus does.  The checks are in `verdict`; exit status 1 where one fails.  Prints a
summary, writes nothing.
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
"""After the first pass: the first answers that hang have ended then, and the threads they took with them."""

SILENT_INTERVALS = 2.5
"""A number that was not asked for so many intervals was forgotten: retries and throttles delay it by less.  A soak that
is no longer than one interval asks for the first pass only."""

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
    """How long, how much, and the course of chance."""

    seconds: float
    numbers: int
    seed: int
    warm_up_seconds: float = WARM_UP_SECONDS

    @property
    def accounts(self) -> int:
        return min(ACCOUNTS, self.numbers)

    def world(self) -> World:
        """A world with every number, and a log that holds all that arrives."""
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
    """Has the next requests meet faults, every now and then; `step` is to be called often."""

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
        """Scrape and look at the process; takes the rest of a second."""
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
    """Soak; returns what was seen, and a line about the size of it."""
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
    """`lately` is the instant since which every number should have been asked."""
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
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # the simulator's faults write to connections that are gone
    print(f"soaking {args.numbers:,} numbers for {args.seconds:.0f} s, seed {args.seed}", flush=True)
    seen, size = run(Soak(args.seconds, args.numbers, args.seed))
    print(size)
    checks = judge(seen)
    for check in checks:
        print(f"{'ok    ' if check.ok else 'FAILED'}  {check.what:<44}  {check.wanted:<20}  {check.found}")
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
