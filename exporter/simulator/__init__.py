"""A CAMS endpoint on loopback, for the demo and for tests over real sockets.

It shares no code with the exporter's client, because a shared signer or parser would share its bugs.  From `exporter`
it imports only `streams`.  The path of one request::

    server   a socket, aiohttp.web        -> messages.Request; stall_selector knows its earliest time of arrival
    gateway  signature, limit, parameters -> messages.Reply     (pure: a world and a request in, a decision out)
    world    accounts, keys, numbers, the log of arrivals; changed by tests while requests run
    faults   late, broken or hostile answers, written to the connection
    server   latency, then the reply

`scenarios` fills a world with statuses that change with time; ``python -m exporter.simulator`` serves one alone.

Source: Alibaba Cloud API reference, product `cams` version 2020-06-06, and its signature method V3.
"""

from exporter.simulator.messages import Refusal, Reply, Request
from exporter.simulator.server import Simulator
from exporter.simulator.timeline import Cycle
from exporter.simulator.world import Account, Arrival, Key, Number, Throttle, World

__all__ = [
    "Account",
    "Arrival",
    "Cycle",
    "Key",
    "Number",
    "Refusal",
    "Reply",
    "Request",
    "Simulator",
    "Throttle",
    "World",
]
