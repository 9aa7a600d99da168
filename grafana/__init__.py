"""Grafana dashboards as code; nothing here is part of the installed package.

::

    numbers_dashboard, exporter_dashboard  ->  panels, board, queries  ->  exporter.metrics.catalogue (the names)
                                build      ->  dashboards/*.json
"""
