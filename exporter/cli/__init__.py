"""The command line: serving and the other tasks, and the signals that end them.

`flags` parses the command line; `serve` serves, `check` is ``--config.check``, `once` is ``--once``, `demo` is
``--demo``.  `signals` handles signals from the first moment on.  `healthcheck` is a program of its own that asks a
running exporter.
"""
