"""Connections: who is accepted, how much a client may send and how long it may take.

`listen` opens the sockets; `acceptor` accepts, with TLS, and bounds how many connections there are; `protocol` reads
the requests of one connection, within deadlines; `slow_clients` knows the answers that are still being read.
"""
