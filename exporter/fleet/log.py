"""The log lines about found numbers, bounded: a first listing of 10,000 numbers is a line, not 10,000.

Numbers appear as their labels.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from exporter.fleet.account import News
from exporter.fleet.membership import Change
from exporter.logs import fields
from exporter.model import NumberKey, PhoneNumber

logger = logging.getLogger(__name__)

MAX_LINES = 10
"""More numbers to which the same happened at once become one line."""

FIRST_SECONDS = 30.0
"""Between two lines about first listings of spaces: those of 500 spaces may take minutes."""

_ROUTINE = {Change.FOUND, Change.BACK}

Place = tuple[str, str]
"""An account and a space."""


class FleetLog:
    """Logs what is new; remembers what it has said.  Not thread-safe."""

    def __init__(self) -> None:
        self._first: dict[str, list[PhoneNumber]] = {}  # found by first listings, not logged yet
        self._first_at: dict[str, float] = {}  # not before
        self._left_out: dict[str, int] = {}
        self._collided: dict[str, set[NumberKey]] = {}
        self._in_two_places: set[frozenset[NumberKey]] = set()

    def forget(self, account: str) -> None:
        """The account left the configuration."""
        for known in (self._first, self._first_at, self._left_out, self._collided):
            known.pop(account, None)

    def changes(self, account: str, news: News, now: float) -> None:
        """Log what happened to numbers of an account by the monotonic instant `now`."""
        by_kind: defaultdict[Change, list[PhoneNumber]] = defaultdict(list)
        for what, number in news.changes:
            by_kind[what].append(number)
        self._first.setdefault(account, []).extend(by_kind.pop(Change.FIRST, ()))
        if now >= self._first_at.get(account, now):
            self._log_first(account, now)
        for what, numbers in by_kind.items():
            _log_numbers(logging.INFO if what in _ROUTINE else logging.WARNING, what, account, numbers)

    def settled(self, account: str, news: News, max_numbers: int, now: float) -> None:
        """Log what waited, and what is true of an account now, if it is new: numbers that are not polled."""
        self._log_first(account, now)
        before, self._left_out[account] = self._left_out.get(account, 0), news.left_out
        if news.left_out != before:
            logger.log(
                logging.WARNING if news.left_out else logging.INFO,
                "numbers are found and not polled: they are beyond max_numbers"
                if news.left_out
                else "no number is beyond max_numbers any more",
                extra=fields(account=account, left_out=news.left_out, max_numbers=max_numbers),
            )
        collided = {number.key: number for number in news.collided}
        fresh = [number for key, number in collided.items() if key not in self._collided.get(account, ())]
        self._collided[account] = set(collided)
        what = "number found and not polled: another number of its space has the same label; use another hash key"
        _log_numbers(logging.ERROR, what, account, fresh)

    def _log_first(self, account: str, now: float) -> None:
        if numbers := self._first.pop(account, None):
            self._first_at[account] = now + FIRST_SECONDS
            _log_numbers(logging.INFO, Change.FIRST, account, numbers, one_by_one=False)

    def places(self, numbers: Iterable[PhoneNumber]) -> None:
        """Warn once of each number that is polled in two places, at least one of which a listing found."""
        firsts: dict[str, PhoneNumber] = {}
        pairs: dict[frozenset[NumberKey], tuple[PhoneNumber, PhoneNumber]] = {}
        for number in numbers:  # each with the first one only: a number that 500 spaces list has 125,000 pairs
            first = firsts.setdefault(number.phone_number, number)
            if first is not number and (number.found or first.found):
                pairs[frozenset({number.key, first.key})] = (first, number)
        fresh: defaultdict[tuple[Place, Place], list[PhoneNumber]] = defaultdict(list)
        for pair, (one, two) in pairs.items():
            if pair not in self._in_two_places:
                fresh[(one.account, one.cust_space_id), (two.account, two.cust_space_id)].append(one)
        self._in_two_places = set(pairs)
        _log_pairs(fresh)


def _log_numbers(
    level: int, what: str, account: str, numbers: Sequence[PhoneNumber], *, one_by_one: bool = True
) -> None:
    """A line for each number, or for all where they are many."""
    if one_by_one and len(numbers) <= MAX_LINES:
        for number in numbers:
            logger.log(level, what, extra=fields(**number.identity()))
    elif numbers:
        spaces = len({number.cust_space_id for number in numbers})
        logger.log(level, what, extra=fields(account=account, numbers=len(numbers), spaces=spaces))


def _log_pairs(pairs: Mapping[tuple[Place, Place], Sequence[PhoneNumber]]) -> None:
    what = "number is in two places and polled in both"
    for ((account, space), (other_account, other_space)), numbers in itertools.islice(pairs.items(), MAX_LINES):
        logger.warning(
            what,
            extra=fields(
                account=account,
                cust_space_id=space,
                other_account=other_account,
                other_cust_space_id=other_space,
                phone_number=numbers[0].label,
                numbers=len(numbers),
            ),
        )
    if len(pairs) > MAX_LINES:
        logger.warning(what, extra=fields(more_pairs_of_spaces=len(pairs) - MAX_LINES))
