"""Which numbers an account has: those that the configuration and number files name, and those that listings found.

`membership` has the rules and `space` those of one space; both are pure.
"""
