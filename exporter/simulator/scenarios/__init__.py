"""Example worlds: data, with values that change with the elapsed time.

`found` is the demo, `retail` one of its accounts, `unchanging` is for measurements.  `plans` has the parts of a
scenario.  Does not serve them (see `server`), and does not write their configuration (see `configfile`).

Every phone number is in a range reserved for fiction: 555-01xx of any area code (NANPA), +44 7700 900xxx (Ofcom),
+33 6 39 98 xx xx (ARCEP).
"""

from collections.abc import Callable, Mapping

from exporter.simulator.scenarios.found import Timing, discovery
from exporter.simulator.scenarios.plans import AccountPlan, Event, NumberPlan, Scenario
from exporter.simulator.scenarios.unchanging import steady

SCENARIOS: Mapping[str, Callable[[int], Scenario]] = {"demo": discovery, "discovery": discovery, "steady": steady}
"""The choices of ``--scenario``; each is a function of the seed.  The demo is `discovery`, of its default size."""

__all__ = [
    "SCENARIOS",
    "AccountPlan",
    "Event",
    "NumberPlan",
    "Scenario",
    "Timing",
    "discovery",
]
