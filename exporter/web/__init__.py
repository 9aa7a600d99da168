"""The HTTP side: scrapes, health probes and pages, served by `server.WebServer` in the main thread's event loop.

::

    server        which path is answered by what, and how an answer is sent
    connections   sockets: listening, accepting, deadlines, bounds
    security      TLS and passwords, as the web configuration file asks for them
    handlers      what answers a request: scrapes, pages, reload
    ui            the pages as HTML
    responses     headers that all answers have; routes: the paths; worker_thread: what would block the event loop;
                  sharing: one piece of work for all who ask for the same

`routes` and `connections.listen` check flags, and import no web library.
"""
