"""What Prometheus reads: each metric is declared once, in `catalogue`, which also counts the API's requests.

::

    catalogue      names, types, help, labels; the counters
    collector      a snapshot of the state as prometheus_client's families: the reference
    exposition     the same bytes, faster: the families about numbers, in both formats
    text_format    how a series and a value are written
    gzip_parts     one compressed answer from parts that were compressed before
"""
