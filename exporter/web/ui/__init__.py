"""The pages for people, as HTML without scripts: `views` makes them from `templates`.

`filters` reads the address, `listing` finds the numbers, `formatting` formats values.
"""
