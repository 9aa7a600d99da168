"""Example worlds: data, with values that change with the elapsed time.

`found` is the demo, `retail` one of its accounts, `unchanging` is for measurements.  `plans` has the parts of a
scenario, `fleets` names and phone numbers.  Does not serve them (see `server`), and does not write their configuration
(see `configfile`).
"""

from collections.abc import Callable, Mapping

from exporter.simulator.scenarios.found import Timing, discovery
from exporter.simulator.scenarios.plans import AccountPlan, DiscoveryPlan, Event, NumberPlan, Scenario
from exporter.simulator.scenarios.unchanging import steady

SCENARIOS: Mapping[str, Callable[[int], Scenario]] = {"demo": discovery, "discovery": discovery, "steady": steady}
"""The choices of ``--scenario``; each is a function of the seed.  The demo is `discovery`, of its default size."""

__all__ = [
    "SCENARIOS",
    "AccountPlan",
    "DiscoveryPlan",
    "Event",
    "NumberPlan",
    "Scenario",
    "Timing",
    "discovery",
    "steady",
]
