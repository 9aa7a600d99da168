"""What to write to the store next, and where to go on reading.  Pure: time and the store's answers are arguments.

Each number has one place in the outbox: a poll that is not written yet when the next one ends is never written.  So
the cost grows with answers, and a store that was away finds one answer a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from exporter.cluster.answers.records import Key
from exporter.cluster.store.calls import Exchange

MAX_WRITTEN = 200
"""How many answers one exchange writes at most."""


@dataclass(slots=True)
class Mail:
    """One replica's outbox, and its place in the log of answers.  Not thread-safe; `now` is monotonic."""

    epoch: str = ""
    since: str = "0"
    readings: int = 0
    """How often reading began anew.  A part of the writer's name: what it wrote before is read like that of others."""
    _out: dict[Key, None] = field(default_factory=dict)  # in order; a set would lose it
    _read_at: float | None = None  # since when everything is read that was written before

    def post(self, keys: Iterable[Key]) -> None:
        """These have something new to tell, or were not written, as far as is known."""
        self._out.update(dict.fromkeys(keys))

    def enter(self, epoch: str, known: Iterable[Key]) -> None:
        """Use the store in this epoch.  In a new one all is read again, and all that is `known` is written again."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.read_again()
            self.post(known)

    def read_again(self) -> None:
        """Read all again, also what this replica wrote: of numbers that were not in force it kept nothing."""
        self.since, self._read_at = "0", None
        self.readings += 1

    def batch(self) -> tuple[Key, ...]:
        """The numbers whose answers are to be written now; they leave the outbox."""
        keys = tuple(self._out)[:MAX_WRITTEN]
        for key in keys:
            del self._out[key]
        return keys

    def read(self, exchange: Exchange, asked_at: float) -> None:
        """Go on after what this exchange read, which was asked after `asked_at`."""
        self.since = exchange.count
        if exchange.is_all:
            self._read_at = asked_at

    def age_seconds(self, exchange: Exchange, written_ms: int, now: float) -> float:
        """How long ago an entry of `exchange` was written.

        The store's clock says it.  It may have been set since; but what was not there at the last read is not older.
        """
        by_store = max(0.0, (exchange.now_ms - written_ms) / 1000)
        return by_store if self._read_at is None else min(by_store, max(0.0, now - self._read_at))

    @property
    def is_behind(self) -> bool:
        """Whether there is more to write now."""
        return bool(self._out)
