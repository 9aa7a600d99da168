"""The health of a number: for each entity that a message needs, whether it can send, and its errors.

Source: Alibaba Cloud API reference, GetWhatsappHealthStatus; Meta, "Messaging Health Status".
"""

from __future__ import annotations

from dataclasses import dataclass

AVAILABLE = "AVAILABLE"
LIMITED = "LIMITED"
BLOCKED = "BLOCKED"

_WORSE = {AVAILABLE: 0, LIMITED: 1, BLOCKED: 2}


@dataclass(frozen=True, slots=True)
class HealthError:
    """A reason why an entity cannot send; `code` is Meta's code."""

    code: str
    description: str = "Simulated."
    solution: str = "None, it is simulated."


@dataclass(frozen=True, slots=True)
class EntityHealth:
    """Whether one entity can send, and its errors."""

    can_send: str = AVAILABLE
    errors: tuple[HealthError, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a number.  `can_send`, if set, replaces the worst verdict of the entities."""

    phone_number: EntityHealth = EntityHealth()
    waba: EntityHealth = EntityHealth()
    business: EntityHealth = EntityHealth()
    can_send: str | None = None

    @property
    def verdict(self) -> str:
        """The worst verdict of the entities; an undocumented one counts as AVAILABLE."""
        entities = (self.phone_number, self.waba, self.business)
        return self.can_send or max((each.can_send for each in entities), key=lambda verdict: _WORSE.get(verdict, 0))


def phone_health(can_send: str, *errors: HealthError) -> Health:
    """The health of a number with that verdict of its own entity; the others are AVAILABLE."""
    return Health(phone_number=EntityHealth(can_send, errors))
