"""Prometheus exporter for the verification status of WhatsApp phone numbers on Alibaba Cloud (CAMS).

The data path, from the API to the scrape::

    config.yml -> config.Config -> app.App
                                    |  one poller.AccountPoller per Alibaba Cloud account
    poll:   schedule (which number) -> budget (when) -> cams.client (ask) -> state (last answer, history)
    scrape: web.server -> exposition <- collector (a snapshot of state, the counters of metrics)
    page:   web.server -> web.frontend <- the same snapshot

A scrape never touches the API; a poll never waits for a scrape.
"""

__version__ = "0.1.0"
