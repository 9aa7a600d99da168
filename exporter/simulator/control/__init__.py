"""Shows and changes a running world, as JSON over HTTP: for demos and black-box checks on loopback.

::

    GET  /_simulator/state                       accounts, operations, spaces and numbers with their current values
    GET  /_simulator/arrivals                    the last requests, newest last
    POST /_simulator/numbers                     {"account", "cust_space_id", "phone_number", ...}: a new number
    POST /_simulator/numbers/PHONE               {"status": "EXPIRED", ...}: that value from now on, in all spaces
    POST /_simulator/accounts/NAME               {"refusal": "Forbidden.RAM", ...}: that value from now on
    POST /_simulator/accounts/NAME/spaces/ID     {"exists": false, ...}: that value from now on; adds a new space
    POST /_simulator/accounts/NAME/operations/OPERATION  {"rate_limit": 0, "fault": "html", ...}: that value from now on

`fields` has what can be changed and reads its values, `changes` sets them, `state` shows them.  A body with an error
changes nothing.  It never shows a secret.  Its requests do not count as requests to the API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote

from exporter.simulator.control import changes, state
from exporter.simulator.messages import Reply, Request, json_reply
from exporter.simulator.world import World

PREFIX = "/_simulator/"
ARRIVALS_SHOWN = 1000


def answer(world: World, request: Request) -> Reply:
    """Answer one request to the control surface; 404 for unknown paths."""
    words = tuple(unquote(word) for word in request.path.removeprefix(PREFIX).split("/"))
    with world.lock:
        shown = _show(world, words) if request.method == "GET" else None
        if shown is not None:
            return _reply(200, shown)
        target = changes.find_target(world, words) if request.method == "POST" else None
        if target is None:
            return _reply(404, {"error": "no such page, account, operation or number"})
        try:
            return _reply(200, target(_body(request.body)))
        except ValueError as error:
            return _reply(400, {"error": str(error)})


def _show(world: World, words: tuple[str, ...]) -> Any:
    if words == ("state",):
        return state.of_world(world)
    if words == ("arrivals",):
        return [asdict(arrival) for arrival in world.arrivals()[-ARRIVALS_SHOWN:]]
    return None


def _body(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not document:
        raise ValueError('the body must be a JSON object that says what to change, such as {"status": "EXPIRED"}')
    return document


def _reply(status: int, document: Any) -> Reply:
    return json_reply(status, "control", document)
