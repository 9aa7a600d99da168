"""Number files: lists of numbers in YAML, JSON or CSV beside the configuration, read again while the exporter runs.

::

    contents(files, glob)         `files`: what the files that a glob names hold
    FileList(name, content, ...)  `lists`: one file's numbers, or its faults; `csv_rows` for CSV
    FollowedFiles.look(config)    `follow`: the configuration with the lists that the files hold now
"""
