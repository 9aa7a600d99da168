"""Value types that all parts of the exporter use, and the clock.

Imports nothing of the package.
"""

from __future__ import annotations

import functools
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

OPERATION = "GetPhoneNumberVerificationStatus"
"""The API operation that polls call; a value of the label `operation`."""

VERIFIED = "VERIFIED"
NOT_VERIFIED = "NOT_VERIFIED"
EXPIRED = "EXPIRED"
UNKNOWN = "UNKNOWN"
"""Ours, not the API's: no answer yet, or none within `stale_after`."""

CONNECTED = "CONNECTED"
"""The one connection status in which a number sends and receives."""

KNOWN_STATUSES = (VERIFIED, NOT_VERIFIED, EXPIRED, UNKNOWN)
"""The status labels of every number."""

QUALITY_RATINGS = ("GREEN", "YELLOW", "RED", UNKNOWN)
"""The rating labels of every number that is listed; UNKNOWN also if the API does not say the rating."""

AVAILABLE, LIMITED, BLOCKED = "AVAILABLE", "LIMITED", "BLOCKED"

VERDICTS = (AVAILABLE, LIMITED, BLOCKED, UNKNOWN)
"""The verdict labels of every number whose health was checked; UNKNOWN is ours: the last answer is too old."""

QUOTA_SHARE = 0.98
"""The rate is at most this share of the quota.  At 9.8/s eleven requests take 1.02 s, 20 ms more than a second.  Half
of the 20 ms is for requests that leave late (`polling.budget`), half is for jitter on the path."""

QPS_SHARE = 0.998
"""The rate is at most this share of `qps`, so that rounding of a clock or an early wake-up never puts one request too
many into a second."""

DIGIT_RUN = re.compile(r"\d(?:(?:\\[a-zA-Z]|[\W_]){0,3}\d){4,}")
"""What could be a phone number: five digits or more, at most three other or escaped signs between any two."""

MAX_COUNTRY_CODE = 3
MIN_NATIONAL = 7
"""Fewer digits are rarely a phone number without its country code."""


class NumberKey(NamedTuple):
    """The identity of a number, the same over a reload and a restart."""

    account: str
    cust_space_id: str
    phone_number: str

    def __repr__(self) -> str:
        """Without the number, which may have to stay hidden."""
        return f"NumberKey(account={self.account!r}, cust_space_id={self.cust_space_id!r})"


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """One number that is polled: configured, or found by discovery.

    `phone_number` is sent to the API: digits with country code.  `label` is shown to people: full, masked or hashed, as
    configured.  Metrics, logs and pages show `label` only, so the repr leaves out `phone_number`.
    """

    account: str
    cust_space_id: str
    phone_number: str = field(repr=False)
    label: str
    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    found: bool = False
    """Whether only a listing of the API names it: the configuration and number files do not."""
    key: NumberKey = field(init=False, repr=False, compare=False)
    """The number's identity; made once, because many objects keep it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", NumberKey(self.account, self.cust_space_id, self.phone_number))

    def identity(self) -> dict[str, str]:
        """The labels of each of its series, and the fields of its log lines."""
        return {"account": self.account, "cust_space_id": self.cust_space_id, "phone_number": self.label}

    def redacted(self, text: str) -> str:
        """`text` with the label in place of the number, also where it is spelled with spaces, dashes or other signs."""
        if self.label == self.phone_number:
            return text
        text = text.replace(self.phone_number, self.label)
        return DIGIT_RUN.sub(lambda run: self.label if self._is_in(run[0]) else run[0], text)

    def _is_in(self, run: str) -> bool:
        """Whether the digits of `run` hold the number, or are the number without its country code."""
        digits = "".join(filter(str.isdecimal, run))
        if not digits.isascii():
            digits = "".join(str(int(digit)) for digit in digits)
        national = digits.lstrip("0")
        is_national = len(national) >= max(MIN_NATIONAL, len(self.phone_number) - MAX_COUNTRY_CODE)
        return self.phone_number in digits or (is_national and self.phone_number.endswith(national))


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a successful request.  `elapsed_seconds` excludes any wait for the budget."""

    status: str
    phone_number_id: str
    request_id: str
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Space:
    """An instance in the API's list, with the space of its numbers.

    `channel` (for example WHATSAPP) and `state` are in the API's spelling.  A text is empty if the API did not say it.
    """

    cust_space_id: str
    instance_id: str = ""
    name: str = ""
    channel: str = ""
    state: str = ""


LISTED_TEXTS = (
    "connection_status",
    "quality_rating",
    "messaging_limit_tier",
    "name_status",
    "code_verification_status",
    "verified_name",
)
"""The texts of a `ListedNumber`, in the order in which they are stored and told."""


@dataclass(frozen=True, slots=True)
class ListedNumber:
    """What the list of a space says about one of its numbers.  A text is empty if the API did not say it.

    `phone_number` is digits with country code.  A status may have a value that is not documented.  `messaging_limit` is
    the number of customers a day that the number may write to; None if the tier does not say one.
    """

    phone_number: str = field(repr=False)
    connection_status: str = ""
    quality_rating: str = ""
    messaging_limit_tier: str = ""
    messaging_limit: float | None = None
    name_status: str = ""
    code_verification_status: str = ""
    verified_name: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the listings of its space say about a number.  Instants are monotonic seconds.

    `looked_at` is when the space was last listed as a whole, `listed` whether that listing held the number.  `entry` is
    what the last listing that held it said, at `seen_at`; None and minus infinity if none ever did.
    """

    listed: bool
    looked_at: float
    seen_at: float = -math.inf
    entry: ListedNumber | None = None


@dataclass(frozen=True, slots=True)
class HealthError:
    """A reason why a number cannot send.  `entity` is PHONE_NUMBER, WABA, BUSINESS or another; `code` is Meta's."""

    entity: str
    code: str
    description: str = ""
    solution: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a number can send.  `verdict` is AVAILABLE, LIMITED, BLOCKED, or a value that is not documented."""

    verdict: str
    errors: tuple[HealthError, ...] = ()
    request_id: str = ""
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that is valid now; `security_token` is empty for a long-lived key."""

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the API refuses an account or a space: code, message (bounded, not trusted) and RequestId of the error."""

    code: str
    message: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """How one operation of an account goes.

    `up` is False while its last answer was a refusal, or if it was asked and never succeeded.  `refused` is that
    refusal, or else the last error if it never succeeded; None while it is up.
    """

    operation: str
    up: bool = True
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """How the listings of one space go: how many numbers the last one held, and when that was (Unix seconds).

    `attempted` is whether a first listing has ended, with or without success.  `error` is why the last one failed.
    """

    discovered: int = 0
    success_unix: float | None = None
    attempted: bool = False
    error: Refused | None = None


@dataclass(frozen=True, slots=True)
class DiscoveryStatus:
    """What discovery found for one account: by space, and how many numbers are beyond `max_numbers`."""

    spaces: Mapping[str, SpaceStatus]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Throttled:
    """What throttles left of an account's rate.  Instants are monotonic seconds.

    Nothing leaves before `until`.  At `climbs_from` the rate was `qps` requests per second, or all if that is infinite.
    """

    until: float = -math.inf
    qps: float = math.inf
    climbs_from: float = -math.inf


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The state of polling an account, at one instant.

    `refused` is why the API refuses the whole account, or each of its spaces; else None.  `spaces` are all of its
    spaces, `refused_spaces` those that are refused.  `guard_seconds` is the jitter of the path, as learnt from
    throttles.
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
    operations: Sequence[OperationStatus] = ()
    """One for each operation in use; the status poll is the first."""
    health_seconds: float | None = None
    """The time that really passes between two health checks of a number; None without `health`."""
    discovery: DiscoveryStatus | None = None
    """None without `discover`."""
    throttled: Throttled = Throttled()
    """For the next holder of the account."""
    is_held: bool | None = None
    """Whether this replica holds the account; None without `cluster`."""
    is_polled: bool | None = None
    """Whether this replica polls the account: it holds it, or the spare rate is in force; None without `cluster`."""
    holder: str = ""
    """The name of the replica that holds it; empty for none, at the spare rate, and without `cluster`."""

    @property
    def up(self) -> bool:
        """Whether the API accepts the account, as far as is known."""
        return self.refused is None

    @property
    def slowed(self) -> bool:
        """Whether throttles lowered the rate by more than the guard time does."""
        return self.effective_qps < 0.999 * self.budget_qps / (1 + self.guard_seconds)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """How the cluster looks from here, for metrics and pages.

    `replicas` are the names of the live ones, by id.  `holders` has the id of each account's holder; empty for none.
    `lease_changes` counts how often this replica got or lost an account.  `is_spare`: the spare rate is in force.
    `is_extra`: there are as many replicas as `replicas` says without this one, which polls nothing.
    `spare_qps` has that rate for each account; 0 if it is not polled then.
    """

    store_up: bool
    replicas: Mapping[str, str]
    holders: Mapping[str, str]
    lease_changes: Mapping[str, int]
    is_spare: bool
    is_extra: bool = False
    spare_qps: Mapping[str, int] = field(default_factory=dict)


def pace_qps(qps: float, quota: float) -> float:
    """The rate, in requests per second, for a budget of `qps` and an account limit of `quota`."""
    return min(qps * QPS_SHARE, quota * QUOTA_SHARE)


def spare_qps(qps: float, quota: float, replicas: int) -> int:
    """The requests per second that each of `replicas` may send while the cluster's store is away; 0 if nothing is left.

    They come from the part of the quota that is not this exporter's: together with a holder, which may be in another
    part of the network, they stay within `quota`.
    """
    return math.floor(round((quota - qps) / replicas, 9))


@dataclass(frozen=True, slots=True)
class Right:
    """The right to send requests of one account.  Instants are monotonic seconds.

    A request may leave at an instant from `from_at` on and before `until_at`.  The first slot keeps its distance from
    `slot_at`: so late may the last request of a holder arrive that handed the account over.
    """

    token: int
    from_at: float
    until_at: float
    slot_at: float = -math.inf
    guard_seconds: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether a request may leave at `now`."""
        return self.from_at <= now < self.until_at


ALWAYS = Right(0, -math.inf, math.inf)
"""The right of an exporter that is alone."""

NEVER = Right(0, math.inf, -math.inf)
"""The right to nothing: another replica holds the account."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a holder passes on to the next one.

    `guard_seconds` is the jitter of the path, as throttles taught.  Only a release knows the others: `pause_seconds` is
    what remains of a pause that the API asked for, `slot_age_seconds` how long ago the last request left.
    """

    guard_seconds: float = 0.0
    pause_seconds: float = 0.0
    slot_age_seconds: float | None = None


class Clock(Protocol):
    """The only source of time; tests pass their own."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, which never go back: for durations and schedules.

        After the machine slept, it jumps forward by that time.
        """

    def unix(self) -> float:
        """Seconds since the epoch, UTC: for time stamps of people and Prometheus."""


Slot = AbstractContextManager[object]
"""The right to send one request.  Entering it waits for the right moment; the request leaves inside it."""

Wait = Callable[[threading.Condition, float], object]
"""Waits that many seconds, or until the condition is notified.  It is `threading.Condition.wait`, except in tests."""


class SystemClock:
    """The machine's clocks; `clocks` is the module `time`, except in tests.

    Linux stops its monotonic clock while the machine sleeps, so a status would not age.  The time since boot does not
    stop.
    """

    def __init__(self, clocks: Any = time) -> None:
        boot = getattr(clocks, "CLOCK_BOOTTIME", None)  # Linux only
        self.monotonic: Callable[[], float] = (
            clocks.monotonic if boot is None else functools.partial(clocks.clock_gettime, boot)
        )
        """Seconds since an arbitrary start, including the time that the machine slept."""
        self.unix: Callable[[], float] = time.time
        """Seconds since the epoch."""
