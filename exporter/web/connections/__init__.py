"""Connections: who is accepted, how much a client may send and how long it may take.

`listen` opens the sockets, `systemd_sockets` takes over those that systemd opened; `acceptor` accepts and bounds how
many connections there are; `tls_transport` encrypts one; `connection` reads its requests, within deadlines; `refusals`
counts and logs who is refused; `slow_clients` knows the answers that are still being read.
"""
