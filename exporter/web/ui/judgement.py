"""What is wrong with a number, how urgent it is, and which runbook helps: the same rules as the alerts.  Pure.

Only the alerts know what a number was before: a number that was never CONNECTED does not page, a number whose
messaging limit fell warns.  Here a connection status counts as it is now.

Source: Meta and Alibaba Cloud, the statuses of WhatsApp numbers; `prometheus/rules`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from exporter.model import (
    AVAILABLE,
    BLOCKED,
    CONNECTED,
    EXPIRED,
    KNOWN_STATUSES,
    LIMITED,
    NOT_VERIFIED,
    UNKNOWN,
    VERDICTS,
    VERIFIED,
)

MAY_PASS = frozenset({"PENDING", "UNKNOWN", "FLAGGED", "RATE_LIMITED"})
"""Connection statuses that often pass without help."""

NEVER_REGISTERED = frozenset({"PENDING", "UNVERIFIED"})
"""Connection statuses of a number that nobody registered yet."""

_REJECTED = frozenset({"rejected", "declined"})

_CONSOLE = "the console (Channel Management > Manage > WABA Management > Phone Number Management)"


class Level(IntEnum):
    """How urgent it is, in the words of the alerts.  `NONE`: nothing to do."""

    CRITICAL = 0
    WARNING = 1
    INFO = 2
    NONE = 3


class Facts(NamedTuple):
    """What is known of a number now.  A text is empty, and `listed` None, if it is not known, or too old.

    `failing` is whether its polls fail for a reason of its own, not of its account.
    """

    status: str = ""
    connection: str = ""
    quality: str = ""
    name_status: str = ""
    verdict: str = ""
    listed: bool | None = None
    failing: bool = False

    @property
    def sends(self) -> bool:
        """Whether the number is known to be connected, and not known to be blocked."""
        return self.connection == CONNECTED and self.verdict != BLOCKED

    @property
    def disconnected(self) -> bool:
        """Whether its connection status does not pass without help."""
        return self.connection not in {"", CONNECTED, *MAY_PASS, *NEVER_REGISTERED}


class Trouble(NamedTuple):
    """Something about a number: its level, the fact it is about, and texts for people.

    `what` has the name of that fact in braces.  `look` is the CSS class of the fact.
    """

    level: Level
    about: str
    runbook: str
    what: str
    cure: str
    holds: Callable[[Facts], bool]
    look: str = ""

    def said_of(self, facts: Facts) -> str:
        """What is wrong, with the value."""
        return self.what.replace("{}", str(getattr(facts, self.about)))


_TROUBLES = (
    Trouble(
        Level.CRITICAL,
        "verdict",
        "CamsNumberCannotSend",
        "The number cannot send: the health check says {}.",
        "Each error of the health check says what it needs.",
        lambda facts: facts.verdict == BLOCKED,
    ),
    Trouble(
        Level.CRITICAL,
        "connection",
        "CamsNumberDisconnected",
        "The number cannot send: its connection is {}.",
        f"Read what {_CONSOLE} says about it.",
        lambda facts: facts.disconnected,
    ),
    Trouble(
        Level.CRITICAL,
        "status",
        "CamsNumberNotVerified",
        "The number is {}: messages may fail now.",
        "A person who gets its calls or SMS verifies it with a one-time code.",
        lambda facts: facts.status == NOT_VERIFIED and facts.connection not in NEVER_REGISTERED,
    ),
    Trouble(
        Level.WARNING,
        "status",
        "CamsNumberNotVerified",
        "The number is {}, and was never registered.",
        "Verify and register it. If nobody needs it, remove it from its WhatsApp Business Account.",
        lambda facts: facts.status == NOT_VERIFIED and facts.connection in NEVER_REGISTERED,
    ),
    Trouble(
        Level.WARNING,
        "status",
        "CamsNumberUnexpectedStatus",
        "The status {} is not documented.",
        f"Compare it with {_CONSOLE}.",
        lambda facts: facts.status not in {"", *KNOWN_STATUSES},
        look="odd",
    ),
    Trouble(
        Level.WARNING,
        "status",
        "CamsNumberStatusUnknown",
        "The status is not known.",
        "The last polls on this page say why.",
        lambda facts: facts.status == UNKNOWN,
        look="unknown",
    ),
    Trouble(
        Level.WARNING,
        "failing",
        "CamsNumberFailing",
        "Its polls fail.",
        "The last error on this page says why.",
        lambda facts: facts.failing,
    ),
    Trouble(
        Level.WARNING,
        "listed",
        "CamsNumbersVanished",
        "The space does not list the number.",
        "Check in the console whether the number was deleted or moved, and that its digits and its space are right.",
        lambda facts: facts.listed is False,
    ),
    Trouble(
        Level.WARNING,
        "verdict",
        "CamsNumberSendingLimited",
        "The number can send less than usual: the health check says {}.",
        "Each error of the health check says what it needs.",
        lambda facts: facts.verdict == LIMITED,
    ),
    Trouble(
        Level.WARNING,
        "connection",
        "CamsNumberDisconnected",
        "The connection is {}: only a CONNECTED number sends.",
        f"If it lasts for an hour, read what {_CONSOLE} says about it.",
        lambda facts: facts.connection not in {"", CONNECTED} and not facts.disconnected,
    ),
    Trouble(
        Level.WARNING,
        "quality",
        "CamsNumberQualityLow",
        "The quality rating is {}.",
        "Customers block or report the number: look at what it sends, and to whom. Its limit may fall.",
        lambda facts: facts.quality == "RED",
    ),
    Trouble(
        Level.WARNING,
        "name_status",
        "CamsNumberNameRejected",
        "The display name is {}.",
        "Ask for another name in the console. Customers see the digits until then.",
        lambda facts: facts.name_status.casefold() in _REJECTED,
    ),
    Trouble(
        Level.INFO,
        "verdict",
        "CamsNumberSendingLimited",
        "The health check says {}, which is not documented.",
        f"Compare it with {_CONSOLE}.",
        lambda facts: facts.verdict not in {"", *VERDICTS},
        look="odd",
    ),
    Trouble(
        Level.INFO,
        "status",
        "CamsNumberExpired",
        "The verification is {}, and it is not known that the number is connected.",
        "A connected number still sends. Any other one must be verified again.",
        lambda facts: facts.status == EXPIRED and not facts.sends,
    ),
    Trouble(
        Level.NONE,
        "status",
        "CamsNumberExpired",
        "The verification is {}. The number is connected, so it still sends.",
        "Nothing is urgent. It must be verified again before it can be registered again.",
        lambda facts: facts.status == EXPIRED and facts.sends,
    ),
)
"""All that can be said of a number, the most urgent first."""

_LOOKS = {Level.CRITICAL: "bad", Level.WARNING: "warn", Level.INFO: "plain", Level.NONE: "plain"}
_GOOD = frozenset({VERIFIED, CONNECTED, AVAILABLE, "GREEN"})


@functools.lru_cache(maxsize=4096)
def troubles(facts: Facts) -> tuple[Trouble, ...]:
    """What is to be said of a number, the most urgent first."""
    return tuple(trouble for trouble in _TROUBLES if trouble.holds(facts))


@functools.lru_cache(maxsize=4096)
def urgency(facts: Facts) -> int:
    """The place of a number in the default order, lowest first."""
    found = troubles(facts)
    return _TROUBLES.index(found[0]) if found else len(_TROUBLES)


def level(facts: Facts) -> Level:
    """The level of the most urgent trouble."""
    return next((trouble.level for trouble in troubles(facts)), Level.NONE)


def look(about: str, facts: Facts) -> str:
    """The CSS class of one of the facts."""
    found = next((trouble for trouble in troubles(facts) if trouble.about == about), None)
    if found is not None:
        return found.look or _LOOKS[found.level]
    value = getattr(facts, about)
    if value in _GOOD:
        return "good"
    return "unknown" if value in {"", UNKNOWN} else "plain"


def alone(about: str, value: str) -> Facts:
    """The facts of a number of which only this text is known, to compare values with each other."""
    return Facts(**{about: value})  # type: ignore[arg-type] # `about` is never `listed` or `failing`
