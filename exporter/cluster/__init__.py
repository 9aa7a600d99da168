"""Replicas as one: each account is polled by one of them at a time, and all know all answers.

The store (Redis or Valkey) says who holds which account; pacing stays with the holder, so a request needs no round
trip.  Nothing here is imported without the section `cluster`; only `connecting` imports redis.

::

    polling <- rights  - leases (pure) <-> session (what to ask) -> store -> scripts (Lua) -> Redis
                           spread, timing, table                      replies (checks)
    state   <- records - answers, mail (pure) <----> replica (one step) -^

How the rest of the exporter uses it:

- `App` makes a `Replica`, tells it each configuration (`configure`), and a loop's thread calls its `step`.  On a clean
  stop, polling stops first, then comes `leave`.
- `session.Polling` is what polls.  `allow(rights, is_spare=…)` comes after each contact.  For an account with a
  right it starts polling, with the right's `guard_seconds`; the first slot comes one gap after `slot_at`.  For one
  without, it revokes the polls that wait, and returns when none can leave any more.  With `is_spare` it polls all
  accounts at `timing.spare_qps`, as both `qps` and `quota`.
- Right before a request leaves, the gate asks `Right.allows(now)` on the suspend-proof clock, with its lock held, after
  the slot is due and before the socket is written.  That is two comparisons, no lock of ours and no round trip.
- `Polling.pace(account)` gives the guard; once the account's right was taken away, also how long ago the last request
  left, and what remains of a pause.
- After each poll the recorder calls `Replica.polled(key)`.  `State` implements `replica.Answers`; `answers.merged` says
  what is newer.
- Metrics come from `Replica.status()`: `cams_cluster_store_up` (`store_up`), `cams_cluster_replicas` (count of
  `replicas`), `cams_account_held` (`held`; 0 for all others), `cams_cluster_lease_changes_total` (`lease_changes`).
"""
