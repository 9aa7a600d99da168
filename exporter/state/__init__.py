"""What is known of each number: its last answer, its last polls, and what of it outlives a restart.

`store` is in memory and gives immutable snapshots; it keeps each number's last polls in `history`.  `storage` saves
the last answers in a SQLite file (``--storage.path``), and `folder` looks after the folder of that file.
"""
