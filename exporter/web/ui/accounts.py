"""What the status page says of an account: what is refused, what its listings found.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.cams.error_codes import advice
from exporter.cams.operations import QueryChatappPhoneNumbers
from exporter.model import OPERATION, AccountStatus, ClusterStatus, DiscoveryStatus, OperationStatus, Refused

MAX_SPACES = 20
"""Maximum of spaces with errors that the page names per account."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the API about a space or an operation, `of`, and what to do."""

    of: str
    error: Refused
    advice: str


@dataclass(frozen=True, slots=True)
class Faults:
    """The first `MAX_SPACES` of `total` faults."""

    shown: tuple[Fault, ...]
    total: int

    @property
    def advice(self) -> Sequence[str]:
        """What to do, each text once."""
        return list(dict.fromkeys(fault.advice for fault in self.shown))

    @classmethod
    def of(cls, errors: Mapping[str, Refused], operation: str) -> Faults:
        """The faults of spaces, in the order of their IDs, that requests of `operation` brought."""
        first = sorted(errors.items(), key=lambda found: found[0])[:MAX_SPACES]
        return cls(tuple(Fault(space, error, advice(error.code, operation)) for space, error in first), len(errors))


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the listings of an account found: `listed` of `spaces` brought `numbers`.

    `oldest_unix` is when the space that waits longest was last listed; None if none was.
    """

    numbers: int
    spaces: int
    listed: int
    oldest_unix: float | None
    left_out: int
    failed: Faults

    @classmethod
    def of(cls, status: DiscoveryStatus) -> Discovered:
        """The sum over the spaces."""
        spaces = status.spaces
        instants = [space.success_unix for space in spaces.values() if space.success_unix is not None]
        return cls(
            sum(space.discovered for space in spaces.values()),
            len(spaces),
            len(instants),
            min(instants, default=None),
            status.left_out,
            Faults.of(
                {name: space.error for name, space in spaces.items() if space.error is not None},
                QueryChatappPhoneNumbers.name,
            ),
        )


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account with what the page says beside its figures."""

    status: AccountStatus
    refused_spaces: Faults
    operations: Sequence[Fault]
    discovered: Discovered | None

    @classmethod
    def of(cls, status: AccountStatus) -> AccountRow:
        """The row of an account."""
        return cls(
            status,
            Faults.of(status.refused_spaces, OPERATION),
            refused_operations(status),
            None if status.discovery is None else Discovered.of(status.discovery),
        )

    @property
    def in_trouble(self) -> bool:
        """Whether a person should look at it."""
        found = self.discovered
        return (
            not self.status.up
            or bool(self.refused_spaces.total or self.operations)
            or (found is not None and bool(found.failed.total or found.left_out))
        )


def shares(cluster: ClusterStatus, accounts: Sequence[AccountStatus]) -> list[tuple[str, int]]:
    """Each live replica by its name, and how many of `accounts` it polls."""
    names = {account.account for account in accounts}
    polled = Counter(holder for account, holder in cluster.holders.items() if account in names)
    return sorted((name, polled[replica]) for replica, name in cluster.replicas.items())


def slowly(cluster: ClusterStatus) -> str:
    """What is polled at the spare rate, in words."""
    polled, known = sum(map(bool, cluster.spare_qps.values())), len(cluster.spare_qps)
    if polled == known:
        return "each polls all accounts, slowly"
    if not polled:
        return "nothing is polled until it answers"
    return f"each polls {polled:,} of {known:,} accounts, slowly; nobody polls the others until it answers"


def refused_operations(status: AccountStatus) -> tuple[Fault, ...]:
    """The operations that are refused or never succeeded; not the poll, which has places of its own on the page."""
    return tuple(
        _refused(operation) for operation in status.operations if not operation.up and operation.operation != OPERATION
    )


def _refused(operation: OperationStatus) -> Fault:
    error = operation.refused or Refused("")
    return Fault(operation.operation, error, advice(error.code, operation.operation) if error.code else "")
