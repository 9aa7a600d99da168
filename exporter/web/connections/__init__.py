"""Connections: listening sockets, accepting, deadlines, bounds."""
