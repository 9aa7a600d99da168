"""What replicas tell each other: numbers (`records`) and accounts, with ages instead of times, read with care.

`shared` is what this process knows, `mail` what it writes next.
"""
