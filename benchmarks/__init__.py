"""Benchmarks and the soak test: the cost of the exporter, compared with other libraries.

::

    python -m benchmarks [--quick] [--only NAME,...] [--output FILE]     make bench
    python -m benchmarks.soak                                            make soak

    harness     tables, medians, facts about the machine, Markdown
    processes   an exporter process and its CPU and memory; a client that scrapes as Prometheus does
    fleet       configurations of many numbers
    endpoint    a bare API server, reference and loops: processes of their own
    replicas    exporters that share accounts; redisserver: their store, and what it counts
    scrape, polling, steps, budget, paths, memory, growth, handover, cluster: a benchmark each, the docstring says what

Everything runs on loopback.  Absolute numbers depend on the machine; the ratios come from the same run and do not.
"""
