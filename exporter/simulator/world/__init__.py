"""The state of the simulated service: accounts, their spaces and numbers, and the log of arrivals.

`world` holds everything behind one lock.  `accounts`, `numbers` and `health` have the values, `arrivals` the log.
"""

from exporter.simulator.world.accounts import Account, Calls, Key, Space, Throttle
from exporter.simulator.world.arrivals import Arrival
from exporter.simulator.world.health import EntityHealth, Health, HealthError, phone_health
from exporter.simulator.world.numbers import Number, Span
from exporter.simulator.world.world import World

__all__ = [
    "Account",
    "Arrival",
    "Calls",
    "EntityHealth",
    "Health",
    "HealthError",
    "Key",
    "Number",
    "Space",
    "Span",
    "Throttle",
    "World",
    "phone_health",
]
