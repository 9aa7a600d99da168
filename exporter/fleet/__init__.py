"""Which numbers an account has: those that the configuration and number files name, and those that listings found.

::

    Membership          `membership`: the rules, pure; `space`: those of one space
    AccountFleet        `account`: takes the listings from a poller and tells the state what they say
    Fleets              `fleets`: has changed numbers put in force; `log`: what the log says of them

`state.storage` keeps found numbers over a restart.
"""
