"""Polls accounts: schedule (which number) -> gate (when) -> client (ask) -> journal (what came of it).

`account` is the loop of one account and the way into this package.  `reaction` (what follows from a poll's end),
`refusal`, `retries` and `bounds` are pure decisions; `loop` and `workers` are its threads.  `schedule` and `budget`,
which the gate keeps, stand beside it.
"""

from exporter.polling.account import DEAD_SECONDS, MAX_KEYS_LOCKED, AccountPoller, Fetcher

__all__ = ["DEAD_SECONDS", "MAX_KEYS_LOCKED", "AccountPoller", "Fetcher"]
