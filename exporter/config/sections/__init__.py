"""The parts of the configuration that have a module each.  `loader` reads the rest and puts all together.

`account_numbers` reads the numbers of an account, `discovery` its `discover` and `health`, `credential_types` its
`credentials`; `cluster` and `hash_key` read keys of the top; `shared_quotas` compares the accounts.
"""
