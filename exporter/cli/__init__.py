"""The command line: what the exporter does besides serving, and how it is told to end.

`flags` reads the command line; `check` is ``--config.check``, `once` is ``--once``, `demo` is ``--demo``.  `signals`
hears what arrives before anything else listens.  `healthcheck` is a program of its own, which asks a running exporter.
"""
