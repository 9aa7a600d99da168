"""What is known of each number.

`store` is in memory.  It has a record of each number (`records`) with its last polls (`history`), and gives immutable
snapshots (`snapshot`).  Texts have the label in place of the number (`redacted`).

`storage` saves them over a restart, as rows of `tables`, in a `folder` that no other exporter uses; `found` is what is
stored of numbers that were found.  What an earlier process or another replica knew is taken over by `merging`; that of
numbers that are not in force yet is `waiting`.
"""
