"""The pages for people, as HTML without script: `views` makes them from `templates`.

`filters` is what the address asks for, `listing` the numbers that answer it, `formatting` how values are written.
"""
