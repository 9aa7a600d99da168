"""What Prometheus reads.

::

    catalogue      names, types, help, labels: each metric is declared once
    counters       what the exporter counts
    collector      the samples about accounts and the exporter, of one snapshot
    number_chunks  the lines about numbers, compressed, kept until they change
    number_lines   what is shown of a number, formatted, and how the lines of each family are joined from it
    exposition     the bytes of a scrape, in both formats
    text_format    how a series and a value are written
    gzip_parts     one gzip file from parts that were compressed before
"""
