"""The command line: flags, the check, the one-shot run, the demo, the health check, signals."""
