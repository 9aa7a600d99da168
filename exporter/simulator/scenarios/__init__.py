"""Example worlds: data, with values that change with the elapsed time.

`plans` has the parts of a scenario, `fleets` names and phone numbers; each other module is one scenario.  Does not
serve them (see `server`), and does not write their configuration (see `configfile`).
"""

from collections.abc import Callable, Mapping

from exporter.simulator.scenarios.found import Timing, discovery
from exporter.simulator.scenarios.plans import AccountPlan, DiscoveryPlan, NumberPlan, Scenario
from exporter.simulator.scenarios.typed import demo
from exporter.simulator.scenarios.unchanging import steady

SCENARIOS: Mapping[str, Callable[[int], Scenario]] = {"demo": demo, "discovery": discovery, "steady": steady}
"""The choices of ``--scenario``; each is a function of the seed."""

__all__ = [
    "SCENARIOS",
    "AccountPlan",
    "DiscoveryPlan",
    "NumberPlan",
    "Scenario",
    "Timing",
    "demo",
    "discovery",
    "steady",
]
