"""Errands: what an account asks besides its polls, from the same budget.

::

    Errands                 `errands`: which request goes next
    Errand                  `errand`: one of them
    OptionalOperation       `operation`: one operation's schedule, ceiling, pauses and refusals
    SpacesOperation,        `discovery`: the two listings; what they find goes to a `Fleet`
    NumbersOperation
    HealthOperation         `health`: the health checks; what they find goes to the state
"""

from exporter.polling.errands.discovery import Fleet
from exporter.polling.errands.errand import Errand
from exporter.polling.errands.errands import Errands, ErrandSettings
from exporter.polling.errands.operation import Reply

__all__ = ["Errand", "ErrandSettings", "Errands", "Fleet", "Reply"]
