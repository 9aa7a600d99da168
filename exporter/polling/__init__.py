"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

`account` polls one account and puts the other modules together.  `hand_out` (a poll, or what else goes next), `budget`,
`schedule`, `circuit_breaker`, `standing`, `retries`, `in_flight` and `reaction` (what follows from a poll's outcome)
are pure: time is an argument.  At the `gate` a poll waits for the budget.  `loop` and `workers` are the threads,
`client` is what they need of the client.  `known` is what a new holder of an account knows from the one before.
`errands` are the requests of discovery and health checks.
"""

from exporter.polling.account import DEAD_SECONDS, AccountPoller
from exporter.polling.client import Fetcher
from exporter.polling.errands import ErrandSettings, Fleet
from exporter.polling.known import Known, LastPoll

__all__ = ["DEAD_SECONDS", "AccountPoller", "ErrandSettings", "Fetcher", "Fleet", "Known", "LastPoll"]
