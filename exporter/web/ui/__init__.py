"""The pages for people, as HTML without scripts: `views` makes them from `templates`.

`document` makes the JSON twin of the status page.  `judgement` says what is wrong with a number.  `entries` has the
values of each number, `filters` reads the address, `listing` and `search` find and sort the numbers.  `accounts` and
`number` have what is said of an account and on a number's page.  `health_errors` says what to do about Meta's codes.
`formatting` formats instants and spans.
"""
