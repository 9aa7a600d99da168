"""The command line: what the exporter does besides serving, and how it is told to end.

`check` is ``--config.check``, `once` is ``--once``, `demo` is ``--demo``; `healthcheck` is a program of its own, which
asks a running exporter.  `signals` hears what arrives before anything else listens.  The flags are in `__main__`.
"""
