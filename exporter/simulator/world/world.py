"""The state of the simulated service: accounts, keys, spaces, numbers, and the log of arrivals.

Tests and the control surface change it from other threads while requests are answered.  A single attribute can be set
without a lock.  To change several at once, hold `World.lock`.  Does not decide answers (see `gateway`), and opens no
socket (see `server`).
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter, deque
from typing import Any

from exporter.simulator.clock import Clock, SystemClock
from exporter.simulator.faults import Fault
from exporter.simulator.timeline import Changing
from exporter.simulator.window import busiest_second
from exporter.simulator.world.accounts import Account, Key, Space
from exporter.simulator.world.arrivals import Arrival, surely_in_a_second
from exporter.simulator.world.numbers import Number, Span

NONCES_KEPT = 100_000


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
        self._injected: deque[tuple[Fault, str | None, str | None]] = deque()
        self._log: deque[Arrival] = deque(maxlen=arrivals_kept)

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
        self, name: str, access_key_id: str, access_key_secret: str, *, rate_limit: Changing[int] = 10
    ) -> Account:
        """A new account with one key; `rate_limit` is that of the status call."""
        with self.lock:
            if name in self.accounts:
                raise ValueError(f"account {name!r} exists")
            account = self.accounts[name] = Account(name)
            account.rate_limit = rate_limit
            self.set_key(name, access_key_id, Key(access_key_secret))
            return account

    def set_key(self, account: str, access_key_id: str, key: Key) -> None:
        """Add a key to an account, or change its token or state."""
        with self.lock:
            self._keys[access_key_id] = (self.accounts[account], key)

    def remove_key(self, access_key_id: str) -> None:
        """Remove a key; it is unknown from now on."""
        with self.lock:
            del self._keys[access_key_id]

    def add_space(self, account: str, cust_space_id: str) -> Space:
        """The space of that ID; a new one if the account has none.  ListInstance shows the ID in both ID fields."""
        with self.lock:
            new = Space(cust_space_id, cust_space_id, cust_space_id, f"instance {cust_space_id}")
            return self.accounts[account].spaces.setdefault(cust_space_id, new)

    def add_number(
        self,
        account: str,
        cust_space_id: str,
        phone_number: str,
        status: Changing[str] = "VERIFIED",
        *,
        fault: Changing[Fault | None] = None,
        latency_seconds: Span | None = None,
        **others: Any,
    ) -> Number:
        """A new number of an account; its ID is made from the seed.  If its space is new, the space is added.

        `others` are further fields of `Number`.
        """
        with self.lock:
            number_id = str(self._random.randrange(10**14, 10**15))
            number = Number(cust_space_id, phone_number, status, number_id, fault, latency_seconds, **others)
            self.add_space(account, cust_space_id)
            self.accounts[account].numbers[cust_space_id, phone_number] = number
            return number

    def move_number(self, number: Number, account: str, cust_space_id: str) -> None:
        """Move the number to that account and space.  If the space is new, it is added.

        Raises ValueError if the account has the same number in that space.
        """
        with self.lock:
            if (cust_space_id, number.phone_number) in self.accounts[account].numbers:
                raise ValueError("the account has that number in that space")
            self.add_space(account, cust_space_id)
            self.remove_number(number)
            number.cust_space_id = cust_space_id
            self.accounts[account].numbers[cust_space_id, number.phone_number] = number

    def remove_number(self, number: Number) -> None:
        """Remove the number from its account."""
        key = (number.cust_space_id, number.phone_number)
        with self.lock:
            (home,) = (account for account in self.accounts.values() if account.numbers.get(key) is number)
            del home.numbers[key]

    def find_numbers(self, phone_number: str) -> tuple[Number, ...]:
        """All numbers with that phone number, in any account and space."""
        with self.lock:
            every = (number for account in self.accounts.values() for number in account.numbers.values())
            return tuple(number for number in every if number.phone_number == phone_number)

    def inject(self, fault: Fault, times: int = 1, *, account: str | None = None, operation: str | None = None) -> None:
        """Play `fault` to the next `times` requests, of one account or of any, of one operation or of any."""
        with self.lock:
            self._injected.extend([(fault, account, operation)] * times)

    # For tests: look at

    def arrivals(self, account: str | None = None, operation: str | None = None) -> tuple[Arrival, ...]:
        """The log, oldest first, of one account or of all, of one operation or of all."""
        with self.lock:
            return tuple(
                arrival
                for arrival in self._log
                if account in (None, arrival.account) and operation in (None, arrival.operation)
            )

    def outcomes(self, account: str | None = None, operation: str | None = None) -> Counter[str]:
        """The count of each outcome in the log."""
        return Counter(arrival.outcome for arrival in self.arrivals(account, operation))

    def busiest_second(self, account: str, operation: str | None = None) -> int:
        """The maximum of requests of an account in any sliding second of the log, refused ones included.

        Counts all operations together, or one.
        """
        return busiest_second([arrival.at for arrival in self.arrivals(account, operation)])

    def surely_in_a_second(self, account: str, operation: str | None = None) -> int:
        """Like `busiest_second`, without requests that were perhaps read together because this machine stalled."""
        return surely_in_a_second(self.arrivals(account, operation))

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

    def take_injected(self, account: str, operation: str) -> Fault | None:
        """The injected fault for this request, which is used up."""
        for place, (fault, whose, of) in enumerate(self._injected):
            if whose in (None, account) and of in (None, operation):
                del self._injected[place]
                return fault
        return None

    def draw_latency(self, span: Span | None = None) -> float:
        """The latency of this answer, in seconds; without a `span` from that of the world."""
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
        self._log.append(arrival)
