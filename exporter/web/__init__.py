"""The HTTP side: scrapes, health probes and pages, served by `server.WebServer` in the main thread's event loop.

`paths` and `listen` check flags and import no web library; `negotiation` reads Accept headers; `offload` keeps
blocking work off the event loop; `connection` is how this server treats a TCP peer.  `frontend` serves what people see:
`query` is what they ask for, `listing` the numbers that answers it, `pages` the HTML.
"""
