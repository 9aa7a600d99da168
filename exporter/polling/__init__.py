"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

`account` polls one account and puts the other modules together.  `hand_out` (a poll, or what else goes next), `budget`,
`schedule`, `circuit_breaker`, `standing`, `retries`, `in_flight` and `reaction` (what follows from a poll's outcome)
are pure: time is an argument.  `hand_over` goes on where another replica stopped.  At the `gate` a poll waits for the
budget.
`loop` and `workers` are the threads, `client` is what they need of the client.  `errands` are the requests of discovery
and health checks.
"""

from exporter.polling.account import DEAD_SECONDS, AccountPoller
from exporter.polling.client import Fetcher
from exporter.polling.errands import ErrandSettings, Fleet

__all__ = ["DEAD_SECONDS", "AccountPoller", "ErrandSettings", "Fetcher", "Fleet"]
