"""Value types that travel through the exporter, and the clock that every part is handed.

No behaviour beyond what the values themselves need; imports nothing of the package.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

OPERATION = "GetPhoneNumberVerificationStatus"
"""The API operation asked, as it stands in the `operation` label."""

VERIFIED = "VERIFIED"
NOT_VERIFIED = "NOT_VERIFIED"
EXPIRED = "EXPIRED"
UNKNOWN = "UNKNOWN"
"""Ours, not the API's: no answer yet, or none within `stale_after`."""

KNOWN_STATUSES = (VERIFIED, NOT_VERIFIED, EXPIRED, UNKNOWN)
"""The status labels that every number always has."""

QUOTA_SHARE = 0.98
"""The pace stays at or below this share of the quota: 10 gaps of 9.8/s last 1.02 s, 20 ms more than the second in which
the server must not see an eleventh: half for leaving late (`polling.budget`), half for jitter on the path."""

QPS_SHARE = 0.998
"""The pace stays at or below this share of `qps`: a clock's rounding or a quick wake-up never puts one request too
many into a second."""


class NumberKey(NamedTuple):
    """What makes a number the same number over a reload and a restart."""

    account: str
    cust_space_id: str
    phone_number: str

    def __repr__(self) -> str:
        """Without the number, which may be one that people must not see."""
        return f"NumberKey(account={self.account!r}, cust_space_id={self.cust_space_id!r})"


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """One configured number.

    `phone_number` is what the API is asked: digits with country code.  `label` is what people may see of it (full,
    masked or hashed, as configured): metrics, logs and pages show `label` only, so `phone_number` is out of the repr.
    """

    account: str
    cust_space_id: str
    phone_number: str = field(repr=False)
    label: str
    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    key: NumberKey = field(init=False, repr=False, compare=False)
    """The number's identity, for what outlives a reload; made once, since every part keeps it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", NumberKey(self.account, self.cust_space_id, self.phone_number))

    def identity(self) -> dict[str, str]:
        """What identifies it to people: the labels of each of its series, the fields of its log lines."""
        return {"account": self.account, "cust_space_id": self.cust_space_id, "phone_number": self.label}

    def redacted(self, text: str) -> str:
        """`text` with the number as people may see it."""
        return text if self.label == self.phone_number else text.replace(self.phone_number, self.label)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a successful request said.  `elapsed_seconds` excludes any wait for the budget."""

    status: str
    phone_number_id: str
    request_id: str
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential valid now; `security_token` is empty for a long-lived key."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the API refuses an account or a space: the error's code, its message, bounded and hostile, its RequestId."""

    code: str
    message: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """How polling an account goes, at one instant.

    `refused` is why the API refuses the account as a whole, or each of its spaces; None while it does not.  `spaces`
    are all of its spaces, `refused_spaces` those that are refused.
    `guard_seconds` is how much later than another one the path may make a request arrive, as throttles taught.
    """

    account: str
    phone_numbers: int
    scrape_interval_seconds: float
    lag_seconds: float
    budget_qps: float
    effective_qps: float
    in_flight: int
    refused: Refused | None = None
    spaces: Sequence[str] = ()
    refused_spaces: Mapping[str, Refused] = field(default_factory=dict)
    guard_seconds: float = 0.0

    @property
    def up(self) -> bool:
        """Whether the API lets the account in, as far as is known."""
        return self.refused is None

    @property
    def slowed(self) -> bool:
        """Whether a lower rate is in force after throttles, beyond what the guard takes."""
        return self.effective_qps < 0.999 * self.budget_qps / (1 + self.guard_seconds)


def pace_qps(qps: float, quota: float) -> float:
    """Requests per second at which a budget of `qps` under an account limit of `quota` is really spent."""
    return min(qps * QPS_SHARE, quota * QUOTA_SHARE)


class Clock(Protocol):
    """The one source of time, so that tests can hand in their own."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back: for durations and schedules.

        It may leap forward, by as much as the machine slept.
        """

    def unix(self) -> float:
        """Seconds since the epoch, UTC: for timestamps that people and Prometheus read."""


Slot = AbstractContextManager[object]
"""The right to send one request: entering it waits for the moment, and the request leaves inside."""

Wait = Callable[[threading.Condition, float], object]
"""Lets that many seconds pass, or fewer: until the condition is notified.  `threading.Condition.wait`, but in tests."""


class SystemClock:
    """The machine's clocks; `clocks` is the module `time`, but in tests.

    Linux stops its monotonic clock while the machine sleeps, and a status would be as fresh after a night as before it:
    the time since boot goes on.
    """

    def __init__(self, clocks: Any = time) -> None:
        boot = getattr(clocks, "CLOCK_BOOTTIME", None)  # Linux only
        self.monotonic: Callable[[], float] = (
            clocks.monotonic if boot is None else functools.partial(clocks.clock_gettime, boot)
        )
        """Seconds since an arbitrary start, the time that the machine slept included."""
        self.unix: Callable[[], float] = time.time
        """Seconds since the epoch."""
