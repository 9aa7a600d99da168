"""The state of the simulated service: accounts, keys, numbers, and the log of arrivals.

Tests and the control surface change it from other threads while requests are answered.  A single attribute can be set
without a lock.  To change several at once, hold `World.lock`.  Does not decide answers (see `gateway`), and opens no
socket (see `server`).
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from exporter.simulator.clock import Clock, SystemClock
from exporter.simulator.faults import Fault
from exporter.simulator.messages import Refusal
from exporter.simulator.timeline import Cycle, now
from exporter.simulator.window import SlidingSecond, busiest_second

Span = tuple[float, float]
"""Latency in seconds, uniform between the two values; equal values give a fixed latency."""

NONCES_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Key:
    """An access key of an account; with a `security_token` it is temporary."""

    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    active: bool = True


@dataclass(frozen=True, slots=True)
class Throttle:
    """How requests over the limit are refused.

    `pause_ms` is the wait in the header; None: the time until the sliding second has a free place.
    """

    status: int = 400
    refusal: Refusal = Refusal.THROTTLED
    header: Literal["x-acs-retry-after", "x-ratelimit-user-api", "x-ratelimit-user", "none"] = "x-acs-retry-after"
    pause_ms: int | None = None


@dataclass(slots=True, eq=False)
class Number:
    """A phone number.  Its `fault` and `latency_seconds` take precedence over the account's and the world's."""

    cust_space_id: str
    phone_number: str
    status: str | Cycle[str]
    id: str
    fault: Fault | Cycle[Fault | None] | None = None
    latency_seconds: Span | None = None


@dataclass(slots=True, eq=False)
class Account:
    """An Alibaba Cloud account with the keys of all its RAM users, which share one limit.

    `rate_limit` is requests per sliding second; 0 refuses all.  `refusal` refuses the whole account:
    ``Refusal.UNSUBSCRIBED``, ``FORBIDDEN``, ``PERMISSION_DENIED``.
    """

    name: str
    rate_limit: int | Cycle[int] = 10
    throttle: Throttle = field(default_factory=Throttle)
    refusal: Refusal | Cycle[Refusal | None] | None = None
    fault: Fault | Cycle[Fault | None] | None = None
    numbers: dict[tuple[str, str], Number] = field(default_factory=dict)
    window: SlidingSecond = field(default_factory=SlidingSecond, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: `at` is its monotonic time, `unix` its wall time, both on the world's clock, without skew.

    `account` is empty if the key was unknown; `outcome` is the `Code` answered, or the name of the fault played.  If
    the machine may have stalled before the request was read, `since` is before `at`: the request came in between.
    """

    at: float
    unix: float
    account: str
    cust_space_id: str
    phone_number: str
    outcome: str
    since: float


class World:
    """The state of the simulated service; thread-safe.

    `jitter_seconds` is the maximum delay of a request on the path before it is counted; `clock_skew_seconds` is how far
    the service's clock is ahead of this machine's; `handshake_seconds` is how long a new TLS connection waits before
    the server shakes hands; `speed` makes cycles run faster.  All randomness comes from `seed`.  The log keeps the last
    `arrivals_kept` arrivals.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = 1.0,
        latency_seconds: Span = (0.0, 0.0),
        clock: Clock | None = None,
        arrivals_kept: int = 200_000,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock or SystemClock()
        self.speed = speed
        self.latency_seconds = latency_seconds
        self.jitter_seconds = 0.0
        self.clock_skew_seconds = 0.0
        self.handshake_seconds = 0.0
        self.accounts: dict[str, Account] = {}
        self._started_at = self.clock.monotonic()
        self._random = random.Random(seed)  # noqa: S311 - repeatable by design, no secret
        self._keys: dict[str, tuple[Account, Key]] = {}
        self._nonces: dict[tuple[str, str], None] = {}
        self._injected: deque[tuple[Fault, str | None]] = deque()
        self._arrivals: deque[Arrival] = deque(maxlen=arrivals_kept)

    @property
    def elapsed_seconds(self) -> float:
        """Time since the start of the world, multiplied by `speed`."""
        return (self.clock.monotonic() - self._started_at) * self.speed

    @property
    def service_unix(self) -> float:
        """The service's own time, in seconds since the epoch."""
        return self.clock.unix() + self.clock_skew_seconds

    # For tests and scenarios: set up

    def add_account(
        self,
        name: str,
        access_key_id: str,
        access_key_secret: str,
        *,
        security_token: str = "",
        rate_limit: int | Cycle[int] = 10,
    ) -> Account:
        """A new account with one key."""
        with self.lock:
            if name in self.accounts:
                raise ValueError(f"account {name!r} exists")
            account = self.accounts[name] = Account(name, rate_limit=rate_limit)
            self.set_key(name, access_key_id, Key(access_key_secret, security_token))
            return account

    def set_key(self, account: str, access_key_id: str, key: Key) -> None:
        """Add a key to an account, or change its token or state."""
        with self.lock:
            self._keys[access_key_id] = (self.accounts[account], key)

    def remove_key(self, access_key_id: str) -> None:
        """Remove a key; it is unknown from now on."""
        with self.lock:
            del self._keys[access_key_id]

    def add_number(
        self,
        account: str,
        cust_space_id: str,
        phone_number: str,
        status: str | Cycle[str] = "VERIFIED",
        *,
        fault: Fault | Cycle[Fault | None] | None = None,
        latency_seconds: Span | None = None,
    ) -> Number:
        """A new number of an account; its ID is made from the seed."""
        with self.lock:
            number_id = str(self._random.randrange(10**14, 10**15))
            number = Number(cust_space_id, phone_number, status, number_id, fault, latency_seconds)
            self.accounts[account].numbers[cust_space_id, phone_number] = number
            return number

    def find_numbers(self, phone_number: str) -> tuple[Number, ...]:
        """All numbers with that phone number, in any account and space."""
        with self.lock:
            every = (number for account in self.accounts.values() for number in account.numbers.values())
            return tuple(number for number in every if number.phone_number == phone_number)

    def inject(self, fault: Fault, times: int = 1, *, account: str | None = None) -> None:
        """Play `fault` to the next `times` requests, of one account or of any."""
        with self.lock:
            self._injected.extend([(fault, account)] * times)

    # For tests: look at

    def arrivals(self, account: str | None = None) -> tuple[Arrival, ...]:
        """The log, oldest first, of one account or of all."""
        with self.lock:
            return tuple(arrival for arrival in self._arrivals if account in (None, arrival.account))

    def outcomes(self, account: str | None = None) -> Counter[str]:
        """The count of each outcome in the log."""
        return Counter(arrival.outcome for arrival in self.arrivals(account))

    def busiest_second(self, account: str) -> int:
        """The maximum of requests of an account in any sliding second of the log, refused ones included."""
        return busiest_second([arrival.at for arrival in self.arrivals(account)])

    def surely_in_a_second(self, account: str) -> int:
        """Like `busiest_second`, without requests that were perhaps read together because this machine stalled."""
        arrivals = self.arrivals(account)
        return busiest_second([arrival.at for arrival in arrivals], [arrival.since for arrival in arrivals])

    # For the gateway, which holds the lock

    def find_key(self, access_key_id: str) -> tuple[Account, Key] | None:
        """The account of the key."""
        return self._keys.get(access_key_id)

    def is_new_nonce(self, access_key_id: str, nonce: str) -> bool:
        """Whether the nonce is new; it counts as used from now on.  The last `NONCES_KEPT` are remembered."""
        if (access_key_id, nonce) in self._nonces:
            return False
        self._nonces[access_key_id, nonce] = None
        if len(self._nonces) > NONCES_KEPT:
            del self._nonces[next(iter(self._nonces))]
        return True

    def take_fault(self, account: Account, number: Number | None) -> Fault | None:
        """The fault for this request: an injected one (used up), else the number's, else the account's."""
        for place, (fault, whose) in enumerate(self._injected):
            if whose in (None, account.name):
                del self._injected[place]
                return fault
        elapsed = self.elapsed_seconds
        own = now(number.fault, elapsed) if number else None
        return own or now(account.fault, elapsed)

    def draw_latency(self, number: Number | None) -> float:
        """The latency of this answer, in seconds."""
        span = number.latency_seconds if number else None
        return self._random.uniform(*(span or self.latency_seconds))

    def draw_jitter(self) -> float:
        """The delay of this request on the path, uniform between 0 and `jitter_seconds`."""
        with self.lock:
            return self._random.uniform(0.0, self.jitter_seconds) if self.jitter_seconds else 0.0

    def new_request_id(self) -> str:
        """An upper-case UUID, as the real service's."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4)).upper()

    def record(self, arrival: Arrival) -> None:
        """Append to the log."""
        self._arrivals.append(arrival)
