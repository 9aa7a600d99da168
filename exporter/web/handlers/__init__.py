"""What answers a request once it is let through: `metrics` the scrapes, `pages` what people see, `reload` a reload.

`negotiation` reads the headers that ask for a format or an encoding.
"""
