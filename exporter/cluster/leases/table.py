"""What the store knows of the cluster: replicas, who holds which account, what one contact answers.  Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.model import Pace


@dataclass(frozen=True, slots=True)
class Member:
    """What a replica tells the others of itself.

    `id` is new with each process.  `joined` orders replicas by when they came.  `claims` is False while it stops.
    `accounts` is the digest of the names of its accounts; `config_hash` is that of its whole configuration.
    """

    id: str
    name: str
    joined: int
    lease_seconds: float
    right_seconds: float
    claims: bool
    accounts: str
    config_hash: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds an account; `holder` is empty if it was released.

    `token` is the fencing token: it grows with each take and release, and the store changes nothing for a replica that
    names an old one.
    """

    token: int
    holder: str


@dataclass(frozen=True, slots=True)
class Table:
    """The members by id, the holders and paces by account."""

    members: Mapping[str, Member] = field(default_factory=dict)
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contact:
    """The store's answer to one contact.

    `epoch` names the life of the store: an empty store, or another server, has a new one.  It grants nothing for
    `opens_in_seconds`; `hold_seconds` is how long that was at first.  `change` counts the changes of the table, which
    is None if the caller knows it already.  `beats` counts the contacts of each member.  `lacks_accounts` is True if
    the store does not have the names of the caller's accounts.
    """

    epoch: str
    opens_in_seconds: float
    hold_seconds: float
    change: int
    beats: Mapping[str, int]
    table: Table | None = None
    lacks_accounts: bool = False


@dataclass(frozen=True, slots=True)
class Take:
    """A request to become the holder, or with `frees` to set the account free for another.

    It succeeds only if the account still is as it was seen: `token` and `holder` are the same, and `holder` made no
    contact since its `beat`.
    """

    account: str
    token: int
    holder: str
    beat: int
    frees: bool = False
