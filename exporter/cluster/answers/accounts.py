"""What replicas tell each other of an account: how polling and discovery go, as the holder knows it.

As for numbers, ages are handed on instead of times, and what comes from the store is checked.  Each space has an entry
of its own: an account may have thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from exporter.cams.answers import Redaction
from exporter.cluster.answers.reading import MAX_AGE_SECONDS, Reader, refuse
from exporter.cluster.store.replies import MAX_PAUSE_SECONDS, count, dumped, parts, seconds
from exporter.model import AccountStatus, DiscoveryStatus, OperationStatus, Refused, SpaceStatus, Throttled

MAX_OPERATIONS = 16
MAX_QPS = 10_000_000
MIN_QPS = 0.01

_KINDS = (object, object, object, object, list, object, object, object, object)
"""What the parts of an account are, as `encoded_account` writes them."""

Hide = Callable[[str], str]
"""Takes phone numbers out of a text, unless this replica shows them: the other one may show them."""


@dataclass(frozen=True, slots=True)
class AccountTold:
    """What the holder says of an account, beside its spaces.  `left_out` is None without `discover`.

    `unlisted` is how many first listings have not ended, that of the spaces included.
    """

    phone_numbers: int
    scrape_interval_seconds: float
    lag_seconds: float
    refused: Refused | None
    operations: tuple[OperationStatus, ...]
    health_seconds: float | None
    left_out: int | None
    unlisted: int
    throttled: Throttled


@dataclass(frozen=True, slots=True)
class SpaceTold:
    """What the holder says of a space: why it is refused, and how its listings go.  None: it is not, there are none."""

    refused: Refused | None
    listings: SpaceStatus | None


def told(status: AccountStatus, unlisted: int) -> AccountTold:
    """What to tell of an account."""
    return AccountTold(
        status.phone_numbers,
        status.scrape_interval_seconds,
        status.lag_seconds,
        status.refused,
        tuple(status.operations),
        status.health_seconds,
        None if status.discovery is None else status.discovery.left_out,
        unlisted,
        status.throttled,
    )


def spaces_told(status: AccountStatus) -> dict[str, SpaceTold]:
    """What to tell of the spaces of an account; those of which there is nothing to say are left out."""
    listings = {} if status.discovery is None else status.discovery.spaces
    names = dict.fromkeys((*listings, *status.refused_spaces))
    return {name: SpaceTold(status.refused_spaces.get(name), listings.get(name)) for name in names}


def status_of(own: AccountStatus, account: AccountTold, spaces: dict[str, SpaceTold]) -> AccountStatus:
    """The status of an account that another replica holds; `own` has what this replica's configuration says."""
    configured = frozenset(own.spaces)
    listings = {name: space.listings for name, space in spaces.items() if space.listings is not None}
    return AccountStatus(
        account=own.account,
        phone_numbers=account.phone_numbers,
        scrape_interval_seconds=account.scrape_interval_seconds,
        lag_seconds=account.lag_seconds,
        budget_qps=own.budget_qps,
        effective_qps=own.effective_qps,
        in_flight=0,
        refused=account.refused,
        spaces=own.spaces,
        refused_spaces={
            name: space.refused for name, space in spaces.items() if space.refused is not None and name in configured
        },
        operations=account.operations,
        health_seconds=account.health_seconds,
        discovery=None if account.left_out is None else DiscoveryStatus(listings, account.left_out),
        throttled=account.throttled,
        is_held=False,
    )


def encoded_account(account: AccountTold, now: float) -> bytes:
    """An account as the store keeps it."""
    throttled = account.throttled
    pause_seconds = round(max(0.0, throttled.until - now), 3)
    climbed_seconds = round(max(0.0, now - throttled.climbs_from), 3)
    return dumped(
        [
            account.phone_numbers,
            account.scrape_interval_seconds,
            round(account.lag_seconds, 3),
            _refused_parts(account.refused),
            [[each.operation, each.up, _refused_parts(each.refused)] for each in account.operations],
            account.health_seconds,
            account.left_out,
            account.unlisted,
            [pause_seconds, None if throttled.qps == math.inf else [throttled.qps, climbed_seconds]],
        ]
    )


def decoded_account(found: object, age_seconds: float, now: float, hide: Hide) -> AccountTold:
    """The account whose parsed JSON another replica wrote `age_seconds` ago; raises StoreError."""
    numbers, interval, lag, refused, operations, health, left_out, unlisted, throttled = parts(found, *_KINDS)
    read = Reader(Redaction(None, hide=hide), 0.0)
    if len(operations) > MAX_OPERATIONS:
        refuse("an account has too many operations")
    interval_seconds, lag_seconds = read.age(interval), read.age(lag)
    if interval_seconds is None or lag_seconds is None:
        refuse("an account lacks a duration")
    return AccountTold(
        count(numbers),
        interval_seconds,
        lag_seconds,
        _refused(refused, read),
        tuple(_operation(each, read) for each in operations),
        read.age(health),
        None if left_out is None else count(left_out),
        count(unlisted),
        _throttled(throttled, now - age_seconds),
    )


def _throttled(value: object, written_at: float) -> Throttled:
    pause, rate = parts(value, object, object)
    until = written_at + seconds(pause, MAX_PAUSE_SECONDS)
    if rate is None:
        return Throttled(until)
    qps, climbed = parts(rate, object, object)
    qps, climbed_seconds = seconds(qps, MAX_QPS), seconds(climbed, MAX_AGE_SECONDS)
    return Throttled(until, max(qps, MIN_QPS), until if until > written_at else written_at - climbed_seconds)


def encoded_space(space: SpaceTold, now_unix: float) -> bytes:
    """A space as the store keeps it."""
    of = space.listings
    success_age = None if of is None or of.success_unix is None else round(max(0.0, now_unix - of.success_unix), 3)
    listings = None if of is None else [of.discovered, success_age, of.attempted, _refused_parts(of.error)]
    return dumped([_refused_parts(space.refused), listings])


def decoded_space(found: object, age_seconds: float, now_unix: float, hide: Hide) -> SpaceTold:
    """The space whose parsed JSON another replica wrote `age_seconds` ago; raises StoreError."""
    refused, listings = parts(found, object, object)
    read = Reader(Redaction(None, hide=hide), age_seconds)
    if listings is None:
        return SpaceTold(_refused(refused, read), None)
    discovered, success, attempted, error = parts(listings, object, object, bool, object)
    success_age = read.age(success)
    status = SpaceStatus(
        count(discovered),
        None if success_age is None else now_unix - success_age,
        attempted,
        _refused(error, read),
    )
    return SpaceTold(_refused(refused, read), status)


def _refused_parts(refused: Refused | None) -> list[str] | None:
    return None if refused is None else [refused.code, refused.message, refused.request_id]


def _refused(value: object, read: Reader) -> Refused | None:
    if value is None:
        return None
    code, message, request_id = parts(value, str, str, str)
    return Refused(read.line(code), read.message(message), read.request_id(request_id))


def _operation(value: object, read: Reader) -> OperationStatus:
    name, up, refused = parts(value, str, bool, object)
    return OperationStatus(read.text(name), up, _refused(refused, read))
