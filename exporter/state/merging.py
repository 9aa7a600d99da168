"""One record of what two processes know of a number: this one, and another replica or the one before.  Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from exporter.cams.error_codes import kind_of
from exporter.errors import Kind
from exporter.state.history import with_others
from exporter.state.records import MAX_EXTRA_STATUSES, LastError, NumberState, ShownValues, shared_values


def merged(mine: NumberState, theirs: NumberState) -> NumberState:
    """`mine` with what is newer in `theirs`; the object `mine` if nothing is.

    The status and the last poll are two facts: each comes from whoever knows it best.
    """
    changed = mine
    if theirs.success_at > mine.success_at:
        same = mine.status == theirs.status and mine.status_since_unix is not None
        since = min(mine.status_since_unix or math.inf, theirs.status_since_unix or math.inf) if same else math.inf
        changed = replace(
            changed,
            status=theirs.status,
            extra_statuses=_together(mine.extra_statuses, theirs.extra_statuses),
            phone_number_id=theirs.phone_number_id,
            success_at=theirs.success_at,
            success_unix=theirs.success_unix,
            status_since_unix=theirs.status_since_unix if since == math.inf else since,
        )
    if (theirs.last_poll_unix or -math.inf) > (mine.last_poll_unix or -math.inf):
        changed = replace(
            changed,
            last_poll_success=theirs.last_poll_success,
            last_poll_unix=theirs.last_poll_unix,
            last_error=theirs.last_error or mine.last_error,
            own_error=_newer(mine.own_error, theirs.last_error),
            polls=with_others(mine.polls, theirs.polls),
        )
    return _with_health(_with_listing(changed, theirs), theirs)


def _together(mine: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    """The values that either has shown, those of `theirs` last; the oldest go if there are too many."""
    return tuple(dict.fromkeys((*mine, *theirs)))[-MAX_EXTRA_STATUSES:]


def _newer(mine: LastError | None, theirs: LastError | None) -> LastError | None:
    """The newer error about the number itself."""
    if theirs is None or kind_of(theirs.code, theirs.http_status) in {Kind.THROTTLE, Kind.ACCOUNT}:
        return mine
    return theirs if mine is None or theirs.unix > mine.unix else mine


def _with_listing(mine: NumberState, theirs: NumberState) -> NumberState:
    new, old = theirs.listing, mine.listing
    if new is None or (old is not None and (old.looked_at, old.seen_at) >= (new.looked_at, new.seen_at)):
        return mine
    if old is not None and new.entry is None:
        new = replace(new, entry=old.entry, seen_at=old.seen_at)
    shown = ShownValues(*map(_together, mine.shown, theirs.shown))
    return replace(mine, listing=new, shown=shared_values(shown))


def _with_health(mine: NumberState, theirs: NumberState) -> NumberState:
    new, old = theirs.health, mine.health
    if new is None or old is None:
        return mine if new is None else replace(mine, health=new)
    changed = old
    if new.success_at > old.success_at:
        same = old.answer is not None and new.answer is not None and old.answer.verdict == new.answer.verdict
        since = min(old.since_unix or math.inf, new.since_unix or math.inf) if same else new.since_unix
        changed = replace(new, since_unix=since, shown=_together(old.shown, new.shown), last_error=old.last_error)
    if (new.tried_unix or -math.inf) > (old.tried_unix or -math.inf):
        changed = replace(changed, last_error=new.last_error)
    return mine if changed is old else replace(mine, health=changed)
