"""What the store answers, checked and bounded like an answer of the API: another program may have written it.

Replicas of two versions run side by side during an update.  A newer one may add parts at the end of a value; they are
ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Never

from exporter.cluster.leases.table import Contact, Holding, Member, Table
from exporter.cluster.leases.timing import REST_SECONDS, timing
from exporter.config.settings import MAX_LEASE_SECONDS, MIN_LEASE_SECONDS
from exporter.model import Pace

MAX_NAME = 128
MAX_MEMBERS = 256
MAX_ACCOUNTS = 20_000
MAX_LIST_BYTES = 4 << 20
MAX_COUNT = (1 << 53) - 1  # the next one is exact in Lua, too: a heartbeat always rises
MAX_GUARD_SECONDS = 60.0
MAX_PAUSE_SECONDS = 60.0
MAX_SLOT_AGE_SECONDS = 1e9

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class StoreError(Exception):
    """The store did not answer, or not as this exporter's scripts do.  The text says why, without a secret."""


class GarbledError(StoreError):
    """The store holds what no exporter writes."""


class UnknownScriptError(StoreError):
    """The store does not have the script that was named by its digest."""


def dumped(parts: Sequence[object]) -> bytes:
    """A list as the store keeps it."""
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def about(member: Member) -> bytes:
    """What a replica says of itself, as the store keeps it."""
    return dumped(
        [member.name, member.lease_seconds, member.right_seconds, member.claims, member.accounts, member.config_hash]
    )


def pace_text(pace: Pace) -> bytes:
    """A pace as the store keeps it."""
    slot_age = None if pace.slot_age_seconds is None else round(pace.slot_age_seconds, 3)
    return dumped([round(pace.guard_seconds, 3), round(pace.pause_seconds, 3), slot_age])


def contact(reply: object) -> Contact:
    """What a contact answered; raises GarbledError."""
    epoch, opens_in, held, change, has_list, beats, *table = listed(reply, 6, 9)
    return Contact(
        epoch=text(epoch),
        opens_in_seconds=count(opens_in) / 1000,
        hold_seconds=seconds(count(held) / 1000, MAX_LEASE_SECONDS + REST_SECONDS),
        change=count(change),
        beats={text(replica): count(beat) for replica, beat in pairs(beats, MAX_MEMBERS)},
        table=_table(*table) if len(table) == 3 else None,
        lacks_accounts=count(has_list) == 0,
    )


def names(reply: object) -> tuple[str, ...]:
    """A list of accounts; raises GarbledError."""
    return tuple(text(each) for each in listed(reply, 0, MAX_ACCOUNTS))


def account_list(value: object) -> tuple[str, ...] | None:
    """The accounts of a replica, as `lists` has them; None for an empty text.  Raises GarbledError."""
    if value == b"":
        return None
    if not isinstance(value, bytes) or len(value) > MAX_LIST_BYTES:
        raise GarbledError("the list of a replica's accounts is no text, or too long")
    found = parsed(value)
    if not isinstance(found, list) or len(found) > MAX_ACCOUNTS or not all(isinstance(each, str) for each in found):
        raise GarbledError("the list of a replica's accounts is no list of texts")
    return tuple(found)


def _table(members: object, holders: object, paces: object) -> Table:
    return Table(
        members=dict(_each(members, MAX_MEMBERS, _member)),
        holdings=dict(_each(holders, MAX_ACCOUNTS, _holding)),
        paces=dict(_each(paces, MAX_ACCOUNTS, _pace)),
    )


def _each(flat: object, most: int, read: Any) -> Iterator[tuple[str, Any]]:
    for name, value in pairs(flat, most):
        if not isinstance(value, bytes) or len(value) > 8 * MAX_NAME:
            raise GarbledError("a value in the table of leases is no text, or too long")
        key = text(name)
        yield key, read(key, value)


def _member(replica: str, value: bytes) -> Member:
    joined, _, rest = value.partition(b"|")
    name, lease, right, claims, accounts, config_hash = parts(parsed(rest), str, object, object, bool, str, str)
    lease_seconds = seconds(lease, MAX_LEASE_SECONDS)
    if lease_seconds < MIN_LEASE_SECONDS or not joined.isdigit():
        raise GarbledError("a replica in the store is not as an exporter writes it")
    return Member(
        id=replica,
        name=text(name),
        joined=int(joined),
        lease_seconds=lease_seconds,
        right_seconds=seconds(right, timing(lease_seconds).lease_seconds),
        claims=claims,
        accounts=text(accounts),
        config_hash=text(config_hash),
    )


def _holding(_: str, value: bytes) -> Holding:
    token, separator, holder = value.partition(b"|")
    if not separator or not token.isdigit():
        raise GarbledError("a holder in the store is not as an exporter writes it")
    return Holding(count(int(token)), text(holder))


def _pace(_: str, value: bytes) -> Pace:
    guard, pause, slot_age = parts(parsed(value), object, object, object)
    return Pace(
        guard_seconds=seconds(guard, MAX_GUARD_SECONDS),
        pause_seconds=seconds(pause, MAX_PAUSE_SECONDS),
        slot_age_seconds=None if slot_age is None else seconds(slot_age, MAX_SLOT_AGE_SECONDS),
    )


# Plain values


def listed(value: object, least: int, most: int) -> Sequence[object]:
    """A list of that many items; raises GarbledError."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise GarbledError("an answer of the store has another shape than this exporter's scripts give")
    return value


def pairs(flat: object, most: int) -> Iterator[tuple[object, object]]:
    """The fields and values of a hash; raises GarbledError."""
    found = listed(flat, 0, 2 * most)
    if len(found) % 2:
        raise GarbledError("an answer of the store has another shape than this exporter's scripts give")
    return zip(found[::2], found[1::2], strict=True)


def text(value: object, most: int = MAX_NAME) -> str:
    """A text of bounded length without control characters, like any name in a configuration; raises GarbledError."""
    if isinstance(value, bytes):
        value = value[: 4 * most + 1].decode("utf-8", "replace")
    if not isinstance(value, str) or len(value) > most or _CONTROL.search(value):
        raise GarbledError("a text in the store is too long, or has control characters")
    return value


def count(value: object) -> int:
    """A whole number from 0; raises GarbledError."""
    if isinstance(value, bytes) and value.isdigit() and len(value) < 18:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise GarbledError("a number in the store is none, or out of range")
    return value


def seconds(value: object, most: float) -> float:
    """A duration from 0 to `most`, which is finite; raises GarbledError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise GarbledError("a duration in the store is none, or out of range")
    return float(value)


def parsed(value: bytes) -> object:
    """JSON; raises GarbledError."""
    try:
        found: object = json.loads(value.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise GarbledError("a value in the store is not JSON") from None
    return found


def _no_constant(_: str) -> Never:
    raise ValueError("NaN and infinity are not JSON")


def parts(value: object, *kinds: type | UnionType) -> Sequence[Any]:
    """The parts of a list, each of its kind; raises GarbledError.  A newer version may have more parts."""
    if not isinstance(value, list) or len(value) < len(kinds) or not all(map(isinstance, value, kinds)):
        raise GarbledError("a value in the store has another shape than an exporter writes")
    return value[: len(kinds)]
