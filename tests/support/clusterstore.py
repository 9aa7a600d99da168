"""A model of the store: what the Lua scripts do, on plain values and a clock that the test sets.

`tests/contract/test_cluster_store.py` holds the model to the scripts on a real server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exporter.cluster.leases.table import Contact, Holding, Member, Table, Take
from exporter.model import Pace


@dataclass
class Data:
    """What a server has in memory."""

    run: str = ""
    epoch: str = ""
    opens: float = 0.0
    hold: float = 0.0
    change: int = 0
    joined: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    beats: dict[str, int] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    paces: dict[str, Pace] = field(default_factory=dict)

    def copy(self) -> Data:
        """A copy of the tables; what is in them does not change."""
        return replace(
            self,
            members=dict(self.members),
            beats=dict(self.beats),
            lists=dict(self.lists),
            holdings=dict(self.holdings),
            paces=dict(self.paces),
        )


class ModelStore:
    """Implements `exporter.cluster.session.Calls`; `time` is its own clock.

    With `fenced=False` it grants a take whatever the account's state is, and compares no token.  With `holds=False` a
    new epoch grants at once.
    """

    def __init__(self, time: Callable[[], float], *, fenced: bool = True, holds: bool = True) -> None:
        self.time = time
        self.run = "run-0"
        self.data = Data()
        self._fenced = fenced
        self._holds = holds
        self._epochs = 0

    def restart(self, data: Data | None = None) -> None:
        """Another server takes over with `data`, or with none."""
        self._epochs += 1
        self.run = f"run-{self._epochs}"
        self.data = data.copy() if data is not None else Data()

    def flush(self) -> None:
        """The same server loses all it has."""
        self.data = Data()

    def contact(
        self,
        me: Member,
        number: int,
        known: tuple[str, int],
        hold_seconds: float,
        paces: Mapping[str, tuple[int, Pace]],
    ) -> Contact:
        data, now = self.data, self.time()
        hold_seconds = hold_seconds if self._holds else 0.0
        if data.run != self.run or not data.epoch:
            self._epochs += 1
            data.run, data.epoch = self.run, f"epoch-{self._epochs}"
            data.opens, data.hold = now + hold_seconds, hold_seconds
            data.change += 1
        elif hold_seconds > data.hold and now < data.opens:
            data.opens, data.hold = data.opens + hold_seconds - data.hold, hold_seconds
        if data.opens - now > data.hold:
            data.opens = now + data.hold
        data.beats[me.id] = max(number, data.beats.get(me.id, -1))
        before = data.members.get(me.id)
        if before is None:
            data.joined += 1
        about = replace(me, joined=data.joined if before is None else before.joined)
        if before != about:
            data.members[me.id] = about
            data.change += 1
        for account, (token, pace) in paces.items():
            if data.holdings.get(account) == Holding(token, me.id):
                data.paces[account] = pace
        is_known = known == (data.epoch, data.change)
        return Contact(
            epoch=data.epoch,
            opens_in_seconds=max(0.0, data.opens - now),
            hold_seconds=data.hold,
            change=data.change,
            beats=dict(data.beats),
            table=None if is_known else Table(dict(data.members), dict(data.holdings), dict(data.paces)),
            lacks_accounts=me.id not in data.lists,
        )

    def take(self, me: str, epoch: str, takes: Sequence[Take]) -> tuple[str, ...]:
        data = self.data
        if (data.run, data.epoch) != (self.run, epoch) or self.time() < data.opens or me not in data.beats:
            return ()
        taken = []
        for take in takes:
            held = data.holdings.get(take.account, Holding(0, ""))
            beat = data.beats.get(take.holder, -1) if take.holder else -1
            if not self._fenced or (held == Holding(take.token, take.holder) and beat == take.beat):
                self._hold(take.account, held.token + 1, "" if take.frees else me)
                taken.append(take.account)
        return tuple(taken)

    def release(self, me: str, paces: Mapping[str, tuple[int, Pace]], *, leaves: bool) -> tuple[str, ...]:
        data = self.data
        released = []
        for account, (token, pace) in paces.items():
            held = data.holdings.get(account, Holding(0, ""))
            if held.holder == me and (held.token == token or not self._fenced):
                data.paces[account] = pace
                self._hold(account, held.token + 1, "")
                released.append(account)
        if leaves:
            self._remove(me)
        return tuple(released)

    def forget(self, members: Sequence[tuple[str, int]]) -> None:
        holders = {each.holder for each in self.data.holdings.values()}
        for member, beat in members:
            if self.data.beats.get(member, -1) == beat and member not in holders:
                self._remove(member)

    def publish_accounts(self, me: str, accounts: Sequence[str]) -> None:
        if self.data.epoch:
            self.data.lists[me] = tuple(accounts)

    def accounts_of(self, member: str) -> tuple[str, ...] | None:
        return self.data.lists.get(member)

    def _hold(self, account: str, token: int, holder: str) -> None:
        self.data.holdings[account] = Holding(token, holder)
        self.data.change += 1

    def _remove(self, member: str) -> None:
        for table in (self.data.members, self.data.beats, self.data.lists):
            table.pop(member, None)
        self.data.change += 1
