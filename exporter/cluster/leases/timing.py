"""The durations of a lease, in seconds: all of them follow from how long an account may rest when its holder dies.

A holder that dies right after a contact has the right to send for `right_seconds` more.  The others see its last
heartbeat at their next look, wait for the same time, and are silent for `silence_seconds`; one look more may pass until
they see that this is over.  The sum is 95 % of the lease.  The rest is for the round trips.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_LOOK_SECONDS = 0.3
"""Looks are at most this far apart: a hand-over takes one look, and answers travel with it."""

MAX_TIMEOUT_SECONDS = 3.0

SILENCE_SECONDS = 1.25
"""How long a new holder is silent after the last instant at which the old one could send: the second in which the API
counts, and `PATH_SECONDS`."""

PATH_SECONDS = 0.25
"""How much later a request of one replica may arrive than one of another replica that left at the same instant."""

REST_SECONDS = 1.0
"""An unknown store grants nothing for a lease and this; a store that is away is one after the same time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The durations that one replica works with."""

    lease_seconds: float
    look_seconds: float
    """Between two contacts with the store."""
    timeout_seconds: float
    """How long a call to the store may take."""
    right_seconds: float
    """How long a contact gives the right to send, from before it was asked."""
    silence_seconds: float
    rest_seconds: float
    """How long an unknown store grants nothing; how long after the last contact the spare rate begins."""


def timing(lease_seconds: float) -> Timing:
    """The durations of a lease of 3 to 300 seconds."""
    look_seconds = min(lease_seconds / 10, MAX_LOOK_SECONDS)
    return Timing(
        lease_seconds=lease_seconds,
        look_seconds=look_seconds,
        timeout_seconds=min(lease_seconds / 5, MAX_TIMEOUT_SECONDS),
        right_seconds=0.95 * lease_seconds - 2 * look_seconds - SILENCE_SECONDS,
        silence_seconds=SILENCE_SECONDS,
        rest_seconds=lease_seconds + REST_SECONDS,
    )
