"""Benchmarks and the soak test: what the exporter costs, side by side with what it could have been built from.

::

    python -m benchmarks [--quick] [--only NAME,...] [--output FILE]     make bench
    python -m benchmarks.soak                                            make soak

    harness     tables, medians, facts about the machine, Markdown
    processes   an exporter process and its CPU and memory; a client that scrapes as Prometheus does
    fleet       configurations of many numbers
    endpoint    a bare API server, reference and loops: processes of their own
    scrape, polling, steps, budget, memory, growth: a benchmark each, the docstring says what and how

Everything runs on loopback.  Absolute numbers are the machine's; trust the ratios, which come from the same run.
"""
