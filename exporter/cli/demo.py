"""`--demo`: a configuration for the simulator's demo scenario, which this process serves on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from exporter.config import Config, format_duration, load
from exporter.logs import fields
from exporter.simulator.configfile import render
from exporter.simulator.scenarios import Event, Scenario, discovery
from exporter.simulator.server import Simulator

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def demo(*, serves: bool) -> Iterator[Config]:
    """A configuration whose endpoint is a simulator that runs until the context ends.

    If it `serves`, the log says what the demo will show, and when.
    """
    with simulated() as (scenario, text):
        config = _loaded(text)
        logger.warning("demo: every number and status is simulated")
        for event in scenario.events if serves else ():
            _announce(event)
        yield config


@contextlib.contextmanager
def simulated() -> Iterator[tuple[Scenario, str]]:
    """The demo's scenario, and a configuration as YAML for the simulator, which runs until the context ends."""
    scenario = discovery()
    with Simulator(scenario.world()) as simulator:
        yield scenario, render(scenario, simulator.url)


def _loaded(text: str) -> Config:
    """The configuration in `text`, read as a user's file is."""
    file = os.memfd_create("config.yml")  # in memory: a container may have no folder to write to
    try:
        os.write(file, text.encode())
        # no warnings: its intervals are short on purpose
        return replace(load(Path(f"/proc/self/fd/{file}")), path=None, warnings=())
    finally:
        os.close(file)


def _announce(event: Event) -> None:
    logger.info(
        "demo: what to expect",
        extra=fields(after=format_duration(event.at_seconds), phone_number=event.phone_number, text=event.text),
    )
