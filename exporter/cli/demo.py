"""`--demo`: a configuration for the simulator's demo scenario, which this process serves on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from exporter.config import AccountConfig, ApiConfig, Config, CredentialsConfig, Secret
from exporter.config.settings import default_stale_after_seconds
from exporter.model import PhoneNumber
from exporter.simulator.scenarios import AccountPlan
from exporter.simulator.scenarios import demo as demo_scenario
from exporter.simulator.server import Simulator

QUOTA = 10.0


@contextlib.contextmanager
def demo() -> Iterator[Config]:
    """A configuration whose endpoint is a simulator that runs until the context ends."""
    scenario = demo_scenario()
    with Simulator(scenario.world()) as simulator:
        yield Config(
            path=None,
            scrape_interval_seconds=float(scenario.scrape_interval_seconds),
            phone_number_label="full",
            api=ApiConfig(endpoint=simulator.url),
            accounts=tuple(_account(plan, scenario.scrape_interval_seconds) for plan in scenario.accounts),
        )


def _account(plan: AccountPlan, interval_seconds: float) -> AccountConfig:
    secrets = {
        "access_key_id": Secret(value=plan.access_key_id, file=None),
        "access_key_secret": Secret(value=plan.access_key_secret, file=None),
    }
    return AccountConfig(
        name=plan.name,
        qps=float(plan.qps),
        quota=QUOTA,
        stale_after_seconds=default_stale_after_seconds(interval_seconds),
        credentials=CredentialsConfig(type="access_key", secrets=secrets, options={}),
        numbers=tuple(
            PhoneNumber(
                account=plan.name,
                cust_space_id=number.cust_space_id,
                phone_number=number.phone_number,
                label=number.phone_number,
                name=number.name,
                labels=number.labels,
            )
            for number in plan.numbers
        ),
    )
