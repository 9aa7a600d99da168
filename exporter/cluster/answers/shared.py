"""What this process knows and tells the others, and what they tell it: numbers, accounts, spaces; found numbers too.

A look begins with `begin`.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from exporter.cluster.answers import accounts, records
from exporter.cluster.answers.reading import refuse
from exporter.cluster.answers.records import Key
from exporter.cluster.store.replies import StoreError, parsed
from exporter.logs import fields
from exporter.model import AccountStatus, Clock, Listing, NumberKey, PhoneNumber
from exporter.scrape_priority import ScrapePriority
from exporter.state.found import Absence
from exporter.state.records import NumberState
from exporter.state.store import State

logger = logging.getLogger(__name__)

NUMBER, ACCOUNT, SPACE = "number", "account", "space"
_PARTS = {NUMBER: 3, ACCOUNT: 1, SPACE: 2}

ACCOUNTS_SECONDS = 1.0
"""How often the held accounts are looked at for news."""

MAX_TOLD = 100_000
MAX_TOLD_BYTES = 64 << 20
"""So many accounts and spaces of others are kept, also of accounts that are not in this configuration yet."""

RETELL_SECONDS = 3600.0
"""All of the held accounts is told so often: the store forgets what nobody renews."""

GONE = b"null"


Looked = tuple[Mapping[NumberKey, NumberState], float, float]
"""Records, with the monotonic and the wall time to which their times belong."""


class Found(Protocol):
    """The numbers that discovery found: `fleet.fleets.Fleets`.  Thread-safe."""

    def absence(self, key: NumberKey) -> Absence | None:
        """For how long listings have lacked a number; None if none found it."""

    def candidate(self, key: NumberKey) -> PhoneNumber | None:
        """A number that another replica found, as it would be polled here; None if it may not be."""

    def heard(self, number: PhoneNumber, listing: Listing, absence: Absence) -> None:
        """Another replica says this of a number that it found."""

    def forgotten(self, key: NumberKey) -> None:
        """Another replica polls the number no more."""


class Holdings(Protocol):
    """The accounts that this replica polls."""

    def held_statuses(self) -> Mapping[str, tuple[AccountStatus, int]]:
        """The status of each, and how many first listings have not ended."""

    def polls(self, account: str) -> bool:
        """Whether this is one of them, or is polled at the spare rate.  Thread-safe."""


class Shared:
    """Implements `replica.Answers`.  `post` is told what to write.

    `hide` takes phone numbers that must not be shown out of a text.
    `told` and `gone` are thread-safe; the rest is for the thread of `Replica.step`.
    """

    def __init__(
        self,
        state: State,
        found: Found,
        holdings: Holdings,
        clock: Clock,
        priority: ScrapePriority,
        hide: Callable[[str], str],
    ) -> None:
        self._state = state
        self._hide = hide
        self._priority = priority
        self._found = found
        self._holdings = holdings
        self._clock = clock
        self.post: Callable[[Key], None] = lambda _: None
        self._mine: dict[Key, object] = {}  # accounts and spaces that this replica told last
        self._removed: dict[Key, None] = {}  # spaces that are gone, of accounts that it holds
        self._accounts_at = self._retold_at = -math.inf
        self._lock = threading.Lock()  # guards those below
        self._accounts: dict[str, accounts.AccountTold] = {}
        self._spaces: dict[str, dict[str, accounts.SpaceTold]] = {}
        self._sizes: dict[Key, int] = {}  # in bytes, of the two above
        self._told_bytes = 0
        self._gone: dict[NumberKey, None] = {}

    def told(self, own: AccountStatus) -> AccountStatus | None:
        """What the holder says of the account; None if it said nothing yet."""
        with self._lock:
            account = self._accounts.get(own.account)
            spaces = dict(self._spaces.get(own.account, {}))
        return None if account is None else accounts.status_of(own, account, spaces)

    def unlisted(self, account: str) -> int | None:
        """How many first listings of an account have not ended, as its holder says; None if it said nothing yet."""
        with self._lock:
            found = self._accounts.get(account)
        return None if found is None else found.unlisted

    def gone(self, keys: Collection[NumberKey]) -> None:
        """These numbers are polled no more by this replica, which holds their account."""
        with self._lock:
            self._gone |= dict.fromkeys(keys)
        for key in keys:
            self.post((NUMBER, *key))

    # What `Replica` asks

    def begin(self) -> None:
        """A look begins: see what is new of the accounts."""
        now = self._clock.monotonic()
        if now >= self._accounts_at + ACCOUNTS_SECONDS:
            self._accounts_at = now
            with self._priority.scrape():
                self._look_at_accounts()

    def known(self) -> Collection[Key]:
        """All that there is to tell."""
        now, now_unix = self._clock.monotonic(), self._clock.unix()
        numbers = self._state.snapshot().numbers
        told = (each.number.key for each in numbers if records.freshest_age(each, now, now_unix) < math.inf)
        return [*((NUMBER, *key) for key in told), *self._mine]

    def written(self, keys: Sequence[Key]) -> dict[Key, tuple[float, bytes]]:
        """How old each entry is, in seconds, and its payload; without those of which there is nothing to tell."""
        found: dict[Key, tuple[float, bytes]] = {}
        if not keys:
            return found
        with self._priority.scrape():
            looked = self._state.look(_number(key) for key in keys if _is_number(key))
            for key in keys:
                entry = self._written_number(_number(key), looked) if _is_number(key) else self._written(key)
                if entry is not None:
                    found[key] = entry
        return found

    def _written_number(self, number: NumberKey, looked: Looked) -> tuple[float, bytes] | None:
        known, now, now_unix = looked
        record = known.get(number)
        with self._lock:
            is_gone = number in self._gone
            if record is not None:
                self._gone.pop(number, None)
        if record is None:
            return (0.0, GONE) if is_gone else None
        absence = self._found.absence(number)
        return records.freshest_age(record, now, now_unix), records.encoded(record, now, now_unix, absence)

    def _written(self, key: Key) -> tuple[float, bytes] | None:
        told = self._mine.get(key)
        if isinstance(told, accounts.AccountTold):
            return 0.0, accounts.encoded_account(told, self._clock.monotonic())
        if isinstance(told, accounts.SpaceTold):
            return 0.0, accounts.encoded_space(told, self._clock.unix())
        return (0.0, GONE) if key in self._removed else None

    def read(self, entries: Sequence[tuple[Key, bytes, float]]) -> None:
        """Take over entries, with their payloads and ages in seconds; one that cannot be read is left out.

        All at once, and while polls wait: under load each look at the state waits for all threads that poll.
        """
        if entries:
            with self._priority.scrape():
                self._read(entries)

    def _read(self, entries: Sequence[tuple[Key, bytes, float]]) -> None:
        looked = self._state.look(_number(key) for key, _, _ in entries if _is_number(key))
        told: list[NumberState] = []
        sizes: dict[NumberKey, int] = {}
        found: list[tuple[PhoneNumber, Listing, Absence]] = []
        for key, payload, age_seconds in entries:
            try:
                if _is_number(key):
                    number = records.checked_number(*key[1:])
                    told += self._read_number(number, parsed(payload), age_seconds, looked, found)
                    sizes[number] = len(payload)
                else:
                    self._read_other(key, parsed(payload), len(payload), age_seconds)
            except StoreError as error:
                logger.debug("an answer in the store is left out", extra=fields(error=error))
            except Exception:  # else the answers that follow would never be read
                logger.exception("an answer in the store cannot be read")
        self._state.take_over(told, sizes)
        for each in found:  # their records wait: no number comes in force without what is known of it
            self._found.heard(*each)

    def _read_other(self, key: Key, value: object, size: int, age_seconds: float) -> None:
        """Take over an account or a space; raises StoreError for anything else too."""
        kind, *parts = key
        if kind == NUMBER or len(parts) != _PARTS.get(kind):
            refuse("an answer is about nothing that this version knows")
        if kind == SPACE:
            records.checked_space(parts[1])
        if value is None:
            if kind == SPACE:
                self._drop(key)
            return
        account = space = None
        if kind == SPACE:
            space = accounts.decoded_space(value, age_seconds, self._clock.unix(), self._hide)
        else:
            account = accounts.decoded_account(value, age_seconds, self._clock.monotonic(), self._hide)
        size += sum(map(len, parts))
        with self._lock:
            grown = size - self._sizes.get(key, 0)
            is_full = key not in self._sizes and len(self._sizes) >= MAX_TOLD
            if is_full or (grown > 0 and self._told_bytes + grown > MAX_TOLD_BYTES):
                refuse("the store tells too much of accounts and spaces")
            self._sizes[key] = size
            self._told_bytes += grown
            if account is not None:
                self._accounts[parts[0]] = account
            elif space is not None:
                self._spaces.setdefault(parts[0], {})[parts[1]] = space

    def _drop(self, *keys: Key) -> None:
        """Forget what was told of these accounts and spaces."""
        with self._lock:
            for kind, account, *space in keys:
                self._told_bytes -= self._sizes.pop((kind, account, *space), 0)
                if space:
                    self._spaces.get(account, {}).pop(space[0], None)
                else:
                    self._accounts.pop(account, None)

    def _read_number(
        self,
        key: NumberKey,
        value: object,
        age_seconds: float,
        looked: Looked,
        found: list[tuple[PhoneNumber, Listing, Absence]],
    ) -> tuple[NumberState, ...]:
        """What an entry says of a number that is polled here or may be, also in `found` if listings found it.

        Raises StoreError.
        """
        if value is None:
            if not self._holdings.polls(key.account):  # whoever polls it knows better, by its own listings
                self._found.forgotten(key)
            return ()
        known, now, now_unix = looked
        record = known.get(key)
        absence = records.absence_in(value)
        number = self._found.candidate(key) if record is None or absence is not None else None
        known_as = number if record is None else record.number
        if known_as is None:
            return ()
        theirs = records.decoded(value, known_as, age_seconds, now, now_unix)
        if number is not None and absence is not None and theirs.listing is not None:
            found.append((number, theirs.listing, absence))
        return (theirs,)

    def _look_at_accounts(self) -> None:
        """Post what is new of the accounts that this replica holds."""
        now: dict[Key, object] = {}
        held = self._holdings.held_statuses()
        for name in held:
            self._drop((ACCOUNT, name), *((SPACE, name, space) for space in self._spaces.get(name, {})))
        for name, (status, unlisted) in held.items():
            now[ACCOUNT, name] = accounts.told(status, unlisted)
            for space, told in accounts.spaces_told(status).items():
                now[SPACE, name, space] = told
        is_all = self._clock.monotonic() >= self._retold_at + RETELL_SECONDS
        if is_all:
            self._retold_at = self._clock.monotonic()
        for key, value in now.items():
            if is_all or key not in self._mine or _coarse(self._mine[key]) != _coarse(value):
                self.post(key)
        gone = dict.fromkeys(key for key in self._mine.keys() - now.keys() if key[1] in held)
        for key in gone:
            self.post(key)
        kept = (key for key in self._removed if key[1] in held and key not in now)  # else another one tells it
        self._removed = dict.fromkeys((*kept, *gone))
        self._mine = now


def _is_number(key: Key) -> bool:
    return key[0] == NUMBER and len(key) == 1 + _PARTS[NUMBER]


def _number(key: Key) -> NumberKey:
    return NumberKey(*key[1:])


def _coarse(told: object) -> object:
    """`told` without differences that nobody needs to know at once."""
    return replace(told, lag_seconds=round(told.lag_seconds)) if isinstance(told, accounts.AccountTold) else told
