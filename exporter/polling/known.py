"""What a new holder of an account knows from the replicas that held it before.  Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exporter.errors import Kind
from exporter.model import AccountStatus, NumberKey


@dataclass(frozen=True, slots=True)
class LastPoll:
    """When a number was last polled, in monotonic seconds, and of what kind the error was; None for a success."""

    at: float
    failed: Kind | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What other replicas found: the account's standing, each number's last poll, and when it was last checked."""

    status: AccountStatus | None = None
    polled: Callable[[NumberKey], LastPoll | None] = lambda _: None
    checked_at: Callable[[NumberKey], float | None] = lambda _: None
