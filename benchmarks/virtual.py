"""A path that delays requests, and a server that counts them, in virtual time: half an hour takes less than a second.

Shared by the benchmark `paths` and by the tests of the budget.  Every random number comes from a seed.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Admit = Callable[[float], float]
"""A server's limit: for an arrival it returns 0 if the request is accepted, else the seconds to wait."""

SPIKE_SECONDS = 0.3
SPIKE_EVERY = 590
"""A spike: one request in this many, about one a minute, comes this much later, in addition to its jitter."""


class Pacer(Protocol):
    """Decides when requests leave, like `exporter.polling.budget.Budget`."""

    def ready_at(self, now: float) -> float:
        """The instant of the next slot."""

    def released(self, now: float) -> None:
        """A request leaves."""

    def throttled(self, now: float, released_at: float, pause_seconds: float | None) -> None:
        """An answer throttled the request that left at `released_at`."""


@dataclass(frozen=True, slots=True)
class Path:
    """The time of a request to the server: uniform up to `jitter_seconds`, or exponential with a fifth as the mean.

    The answer comes `latency_seconds` after the request was counted, uniform from the first value to the second.
    """

    jitter_seconds: float = 0.0
    exponential: bool = False
    spikes: bool = False
    latency_seconds: tuple[float, float] = (0.05, 0.4)

    def __str__(self) -> str:
        kind = "exponential" if self.exponential else "uniform"
        return f"{kind} {self.jitter_seconds * 1e3:.0f} ms{', spikes' if self.spikes else ''}"

    def trips(self, seed: int, count: int) -> list[tuple[float, float]]:
        """For each of `count` requests the seconds until it is counted, and from then until its answer arrives."""
        rng = random.Random(seed)
        shortest, longest = self.latency_seconds
        return [(self._delay(rng), rng.uniform(shortest, longest)) for _ in range(count)]

    def _delay(self, rng: random.Random) -> float:
        late = SPIKE_SECONDS if self.spikes and rng.random() * SPIKE_EVERY < 1 else 0.0
        if not self.jitter_seconds:
            return late
        if self.exponential:
            return late + rng.expovariate(5 / self.jitter_seconds)
        return late + rng.uniform(0.0, self.jitter_seconds)


def sliding_second(limit: int, *, counts_throttled: bool = False) -> Admit:
    """At most `limit` in any second.  By default a throttled request does not count."""
    counted: deque[float] = deque()

    def admit(now: float) -> float:
        while counted and now - counted[0] >= 1:
            counted.popleft()
        wait_seconds = 1 - (now - counted[-limit]) if len(counted) >= limit else 0.0
        if counts_throttled or not wait_seconds:
            counted.append(now)
        return wait_seconds

    return admit


def fixed_second(limit: int) -> Admit:
    """At most `limit` in each second of the server's clock."""
    second, count = -math.inf, 0

    def admit(now: float) -> float:
        nonlocal second, count
        if math.floor(now) != second:
            second, count = math.floor(now), 0
        count += 1
        return 0.0 if count <= limit else second + 1 - now

    return admit


def token_bucket(limit: int, burst: int) -> Admit:
    """`limit` tokens a second, at most `burst` saved."""
    tokens, filled_at = float(burst), 0.0

    def admit(now: float) -> float:
        nonlocal tokens, filled_at
        tokens, filled_at = min(burst, tokens + (now - filled_at) * limit), now
        if tokens < 1:
            return (1 - tokens) / limit
        tokens -= 1
        return 0.0

    return admit


@dataclass(slots=True)
class Sent:
    """When requests were released, in order, and which of them were throttled."""

    released: list[float] = field(default_factory=list)
    throttled: list[bool] = field(default_factory=list)

    def between(self, start: float, end: float) -> Sent:
        """Only the requests released from `start` to `end`."""
        inside = [index for index, instant in enumerate(self.released) if start <= instant < end]
        return Sent([self.released[index] for index in inside], [self.throttled[index] for index in inside])

    @property
    def answered(self) -> int:
        return len(self.released) - sum(self.throttled)

    @property
    def throttled_share(self) -> float:
        return sum(self.throttled) / len(self.released)


def send(
    pacer: Pacer,
    path: Path,
    admit: Admit,
    *,
    seconds: float,
    seed: int,
    start: float = 0.0,
    says_when: bool = False,
    others: Iterable[float] = (),
) -> Sent:
    """Send as fast as `pacer` allows, with any number of requests in flight.

    With `says_when`, a throttle says how long to wait.  `others` are the instants of other callers' requests at the
    server.
    """
    sent = Sent()
    trips = iter(path.trips(seed, math.ceil(seconds * 10.5) + 100))
    arrivals = [(instant, -1, 0.0, 0.0) for instant in others]  # (instant, place in `sent`, released, until the answer)
    heapq.heapify(arrivals)
    answers: list[tuple[float, float, float]] = []  # those that throttle: (instant, released, seconds to wait)
    now = start
    while True:
        released_at = max(now, pacer.ready_at(now))
        arrives_at = arrivals[0][0] if arrivals else math.inf
        answered_at = answers[0][0] if answers else math.inf
        now = min(released_at, arrives_at, answered_at)
        if now >= start + seconds:
            return sent
        if now == released_at:
            pacer.released(now)
            delay_seconds, answer_seconds = next(trips)
            heapq.heappush(arrivals, (now + delay_seconds, len(sent.released), now, answer_seconds))
            sent.released.append(now)
            sent.throttled.append(False)
        elif now == arrives_at:
            _, place, released_at, answer_seconds = heapq.heappop(arrivals)
            wait_seconds = admit(now)
            if wait_seconds and place >= 0:
                sent.throttled[place] = True
                heapq.heappush(answers, (now + answer_seconds, released_at, wait_seconds))
        else:
            _, released_at, wait_seconds = heapq.heappop(answers)
            pacer.throttled(now, released_at, wait_seconds if says_when else None)


def throttled_share(released: Sequence[float], path: Path, admit: Admit, *, seed: int) -> float:
    """The throttled share of requests that are sent at these instants, independent of the answers."""
    trips = path.trips(seed, len(released))
    arrivals = sorted(instant + delay for instant, (delay, _) in zip(released, trips, strict=True))
    return sum(admit(instant) > 0 for instant in arrivals) / len(arrivals)


def best_fixed_pace(path: Path, limit: int, *, seconds: float, seed: int, share: float = 0.001) -> float:
    """The largest even rate, in requests per second, of which a sliding second throttles at most `share`."""
    low, high = limit / 2, float(limit)
    while high - low > limit / 1000:
        pace = (low + high) / 2
        released = [index / pace for index in range(int(seconds * pace))]
        if throttled_share(released, path, sliding_second(limit), seed=seed) <= share:
            low = pace
        else:
            high = pace
    return low
