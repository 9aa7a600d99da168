"""A fleet without any change, for measurements."""

from __future__ import annotations

from exporter.simulator.scenarios.plans import AccountPlan, NumberPlan, Scenario


def steady(seed: int = 0) -> Scenario:
    """Three hundred VERIFIED numbers in one account, each answer taking 0.3 s: half a minute a pass at 10/s."""
    numbers = tuple(
        NumberPlan("cams-sim-steady", f"447700900{place:03}", f"line {place:03}", ()) for place in range(300)
    )
    account = AccountPlan("steady", "SIMULATED-KEY-STEADY", "simulated-secret-steady", 10, numbers)
    return Scenario(seed=seed, scrape_interval_seconds=60, latency_seconds=(0.3, 0.3), accounts=(account,))
