"""Replicas as one: each account is polled by one of them at a time, and all know all answers.

The store (Redis or Valkey) says who holds which account; pacing stays with the holder, so a request needs no round
trip.  Nothing here is imported without the section `cluster`; only `store.connecting` imports redis.

::

    polling <- rights  - leases (pure) <-> session (what to ask) -> store -> Redis
    state   <- entries - answers <-------> replica (one step) ------^

`exporter.sharing` puts it together:

- A loop's thread calls `Replica.step`; `Replica.configure` tells it each configuration; `Replica.leave` is its end.
- `session.Polling` is what polls.  `allow(rights, is_spare=…)` comes after each contact.  `AccountPoller.allow` takes
  over each right; for an account without one it turns back the polls that wait, and returns when none can leave any
  more.  With `is_spare` all accounts are polled at `model.spare_qps`, as both `qps` and `quota`.
- Right before a request leaves, the gate compares both ends of the `Right` with the suspend-proof clock, with its lock
  held, after the slot is due and before the socket is written: no lock of ours and no round trip.
- `Polling.pace(account)` gives the guard; once the account's right was taken away, also how long ago the last request
  left, and what remains of a pause.
- `answers.shared` is what this process knows: a number's record, with what listings and health checks say (`records`);
  how an account and each of its spaces do, by its holder (`accounts`); found numbers, and those that are gone.  `State`
  and `Fleets` post what this process learns.  An entry travels at the next look, and only if something is new.
- Metrics and pages come from `Replica.status()`.
"""
