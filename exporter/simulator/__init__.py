"""A CAMS endpoint on loopback, for the demo and for tests over real sockets.

It shares no code with the exporter's client, because a shared signer or parser would share its bugs.  From `exporter`
it imports only `streams`.  The path of one request::

    server   a socket, aiohttp.web        -> messages.Request; stall_selector knows its earliest time of arrival
    gateway  signature, key, limit        -> messages.Reply     (pure: a world and a request in, a decision out)
    operations  parameters, fields of the answer; one module for each operation
    world    accounts, keys, spaces, numbers, the log of arrivals; changed by tests while requests run
    faults   late, broken or hostile answers, written to the connection; listing_faults: incomplete ones
    server   latency, then the reply

`scenarios` fills a world with values that change with time (see `timeline`); `control` shows and changes a world over
HTTP; ``python -m exporter.simulator`` serves one alone.

Source: Alibaba Cloud API reference, product `cams` version 2020-06-06, and its signature method V3.
"""

from exporter.simulator.messages import HEALTH, INSTANCES, PHONE_NUMBERS, STATUS, Reply, Request
from exporter.simulator.refusals import Refusal
from exporter.simulator.server import Simulator
from exporter.simulator.timeline import Cycle, Steps
from exporter.simulator.world import (
    Arrival,
    EntityHealth,
    Health,
    HealthError,
    Key,
    Number,
    Space,
    Throttle,
    World,
    phone_health,
)

__all__ = [
    "HEALTH",
    "INSTANCES",
    "PHONE_NUMBERS",
    "STATUS",
    "Arrival",
    "Cycle",
    "EntityHealth",
    "Health",
    "HealthError",
    "Key",
    "Number",
    "Refusal",
    "Reply",
    "Request",
    "Simulator",
    "Space",
    "Steps",
    "Throttle",
    "World",
    "phone_health",
]
