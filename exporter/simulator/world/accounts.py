"""Accounts: their keys, spaces and numbers, and the rules of each operation.

Source: Alibaba Cloud API reference, the limit of each CAMS operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from exporter.simulator.faults import Fault
from exporter.simulator.messages import HEALTH, INSTANCES, PHONE_NUMBERS, STATUS
from exporter.simulator.refusals import Refusal
from exporter.simulator.timeline import Changing, now
from exporter.simulator.window import SlidingSecond
from exporter.simulator.world.numbers import Number, Span

RATE_LIMITS = {STATUS: 10, INSTANCES: 10, PHONE_NUMBERS: 10, HEALTH: 5}
"""Requests a second, for each account and operation.  The limit of ListInstance is not documented."""


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
    ``retry-after`` has whole seconds, as proxies send it.
    """

    status: int = 400
    refusal: Refusal = Refusal.THROTTLED
    header: Literal["x-acs-retry-after", "retry-after", "x-ratelimit-user-api", "x-ratelimit-user", "none"] = (
        "x-acs-retry-after"
    )
    pause_ms: int | None = None


@dataclass(slots=True, eq=False)
class Calls:
    """The rules for one account's calls of one operation.

    `rate_limit` is requests per sliding second; 0 throttles all.  `refusal` refuses the calls, for example for a
    missing permission.  `masked` hides the last digits of phone numbers and IDs in answers.  `fault` and
    `latency_seconds` take precedence over the account's and the world's.
    """

    rate_limit: Changing[int]
    throttle: Throttle = field(default_factory=Throttle)
    refusal: Changing[Refusal | None] = None
    fault: Changing[Fault | None] = None
    masked: Changing[bool] = False
    latency_seconds: Span | None = None
    window: SlidingSecond = field(default_factory=SlidingSecond, repr=False)


@dataclass(slots=True, eq=False)
class Space:
    """A space of numbers.  Calls name it by its `id`.

    If `exists` is false, no operation knows the space or its numbers.  If `listed` is false, only ListInstance omits
    it.  `cust_space_id` and `instance_id` are its IDs in ListInstance, which omits fields that are None.  `refusal`
    refuses every call that names the space, `fault` is the fault of listings of its numbers.
    """

    id: str
    cust_space_id: Changing[str | None]
    instance_id: Changing[str | None]
    name: Changing[str | None]
    exists: Changing[bool] = True
    listed: Changing[bool] = True
    channel_type: Changing[str | None] = "WHATSAPP"
    state: Changing[str | None] = "published"
    submit_time: Changing[str | None] = "2023-12-12 00:00:00"
    refusal: Changing[Refusal | None] = None
    fault: Changing[Fault | None] = None


def _calls_of_each_operation() -> dict[str, Calls]:
    calls = {
        operation: Calls(limit, Throttle(refusal=Refusal.FLOW_CONTROL)) for operation, limit in RATE_LIMITS.items()
    }
    calls[STATUS].throttle = Throttle()
    return calls


@dataclass(slots=True, eq=False)
class Account:
    """An Alibaba Cloud account with the keys of all its RAM users, which share the limit of each operation.

    `refusal` refuses the whole account: ``Refusal.UNSUBSCRIBED``, ``FORBIDDEN``, ``PERMISSION_DENIED``.  `calls` has
    the rules of each operation.  `node_types` are the spellings of a phone number's NodeType that the health call
    accepts.  A page of ListInstance has at most `max_page_size` entries, even if the request asks for more.
    """

    name: str
    refusal: Changing[Refusal | None] = None
    fault: Changing[Fault | None] = None
    calls: dict[str, Calls] = field(default_factory=_calls_of_each_operation)
    spaces: dict[str, Space] = field(default_factory=dict)
    numbers: dict[tuple[str, str], Number] = field(default_factory=dict)
    node_types: Changing[frozenset[str]] = frozenset({"phone", "PHONE"})
    max_page_size: Changing[int] = 100

    @property
    def rate_limit(self) -> Changing[int]:
        """Requests per sliding second of the status call; 0 throttles all."""
        return self.calls[STATUS].rate_limit

    @rate_limit.setter
    def rate_limit(self, rate_limit: Changing[int]) -> None:
        self.calls[STATUS].rate_limit = rate_limit

    @property
    def throttle(self) -> Throttle:
        """How status calls over the limit are refused."""
        return self.calls[STATUS].throttle

    @throttle.setter
    def throttle(self, throttle: Throttle) -> None:
        self.calls[STATUS].throttle = throttle

    def find_space(self, cust_space_id: str, elapsed_seconds: float) -> Space | None:
        """The space, if it exists at that time."""
        space = self.spaces.get(cust_space_id)
        return space if space and now(space.exists, elapsed_seconds) else None

    def numbers_of(self, cust_space_id: str) -> Iterator[Number]:
        """All numbers of a space, including those that do not exist now."""
        return (number for number in self.numbers.values() if number.cust_space_id == cust_space_id)
