"""Shows and changes a running world, as JSON over HTTP: for demos and black-box checks on loopback.

::

    GET  /_simulator/state              accounts and their numbers, statuses as they are now
    GET  /_simulator/arrivals           the last requests, newest last
    POST /_simulator/numbers/PHONE      {"status": "EXPIRED"}: that status from now on

It never shows a secret.  Its requests do not count as requests to the API.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from exporter.simulator.messages import Reply, Request, json_reply
from exporter.simulator.timeline import now
from exporter.simulator.world import Account, Number, World

PREFIX = "/_simulator/"
_NUMBERS = f"{PREFIX}numbers/"
ARRIVALS_SHOWN = 1000


def answer(world: World, request: Request) -> Reply:
    """Answer one request to the control surface; 404 for unknown paths."""
    with world.lock:
        if request.method == "GET" and request.path == f"{PREFIX}state":
            return _reply(200, _state(world))
        if request.method == "GET" and request.path == f"{PREFIX}arrivals":
            return _reply(200, [asdict(arrival) for arrival in world.arrivals()[-ARRIVALS_SHOWN:]])
        numbers = world.find_numbers(request.path.removeprefix(_NUMBERS))
        if request.method == "POST" and numbers:
            return _set_status(numbers, request.body, world.elapsed_seconds)
        return _reply(404, {"error": "no such page or number"})


def _set_status(numbers: tuple[Number, ...], body: bytes, elapsed_seconds: float) -> Reply:
    try:
        status = json.loads(body)["status"]
    except (ValueError, TypeError, KeyError, RecursionError):
        status = None
    if not isinstance(status, str):
        return _reply(400, {"error": 'the body must be {"status": "..."}'})
    for number in numbers:
        number.status = status
    return _reply(200, [_number(number, elapsed_seconds) for number in numbers])


def _state(world: World) -> dict[str, Any]:
    elapsed_seconds = world.elapsed_seconds
    return {
        "elapsed_seconds": round(elapsed_seconds, 3),
        "accounts": [_account(world, account, elapsed_seconds) for account in world.accounts.values()],
    }


def _account(world: World, account: Account, elapsed_seconds: float) -> dict[str, Any]:
    refusal = now(account.refusal, elapsed_seconds)
    return {
        "name": account.name,
        "rate_limit": now(account.rate_limit, elapsed_seconds),
        "refusal": refusal.code if refusal else None,
        "busiest_second": world.busiest_second(account.name),
        "outcomes": world.outcomes(account.name),
        "numbers": [_number(number, elapsed_seconds) for number in account.numbers.values()],
    }


def _number(number: Number, elapsed_seconds: float) -> dict[str, Any]:
    fault = now(number.fault, elapsed_seconds)
    return {
        "cust_space_id": number.cust_space_id,
        "phone_number": number.phone_number,
        "status": now(number.status, elapsed_seconds),
        "fault": fault.name if fault else None,
    }


def _reply(status: int, document: Any) -> Reply:
    return json_reply(status, "control", document)
