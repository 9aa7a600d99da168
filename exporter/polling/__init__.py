"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

`account` polls one account, and is the way into this folder.  `budget`, `schedule`, `circuit_breaker`, `retries`,
`in_flight` and `reaction` (what follows from a poll's end) are pure decisions: time is an argument there.  At the
`gate` a poll waits for the budget; `loop` and `workers` are the threads.
"""

from exporter.polling.account import DEAD_SECONDS, MAX_KEYS_LOCKED, AccountPoller, Fetcher

__all__ = ["DEAD_SECONDS", "MAX_KEYS_LOCKED", "AccountPoller", "Fetcher"]
