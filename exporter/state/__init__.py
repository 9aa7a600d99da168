"""What is known of each number.

`store` is in memory and gives immutable snapshots of `records`; the last polls of a number are in `history`.
`storage` saves the last answers over a restart, into a `folder` that no other exporter uses; `remembered` takes them
over.
"""
