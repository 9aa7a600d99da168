"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

`account` polls one account and puts the other modules together.  `budget`, `schedule`, `circuit_breaker`,
`retries`, `in_flight` and `reaction` (what follows from a poll's outcome) are pure: time is an argument.  At the `gate`
a poll waits for the budget.  `loop` and `workers` are the threads.
"""

from exporter.polling.account import DEAD_SECONDS, AccountPoller, Fetcher

__all__ = ["DEAD_SECONDS", "AccountPoller", "Fetcher"]
