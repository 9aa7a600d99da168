"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

`account` polls one account and puts the other modules together.  `hand_out` (a poll, or what else goes next), `budget`,
`schedule`, `circuit_breaker`, `standing`, `retries`, `in_flight`, `reaction` (what follows from a poll's outcome) and
`hand_over` (from one replica to the next) are pure: time is an argument.  At the `gate` a poll waits for the budget.
`loop` and `workers` are the threads, `client` is what they need of the client.  `errands` are the requests of discovery
and health checks.
"""

from exporter.polling.account import DEAD_SECONDS, AccountPoller
from exporter.polling.client import Fetcher
from exporter.polling.errands import ErrandSettings, Fleet
from exporter.polling.hand_over import Known
from exporter.polling.reaction import LastPoll

__all__ = ["DEAD_SECONDS", "AccountPoller", "ErrandSettings", "Fetcher", "Fleet", "Known", "LastPoll"]
