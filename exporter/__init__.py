"""Prometheus exporter for the verification status of WhatsApp phone numbers on Alibaba Cloud (CAMS).

The data path, from the API to the scrape::

    config.yml -> config.Config -> app.App
                                    |  one polling.AccountPoller per Alibaba Cloud account
    poll:   polling.schedule (which number) -> polling.gate (when) -> cams.client (ask) -> polling.recorder
    list:   polling.errands (which space)   -> the same            -> the same          -> fleet -> app.App
    check:  polling.errands (which number)  -> the same            -> the same          -> polling.recorder
                                    |  the last answers and the counts
                                  state.store, metrics.counters
                                    |  one snapshot
    scrape: web.server -> web.handlers.metrics -> metrics.exposition
    page:   web.server -> web.handlers.pages   -> web.ui

A scrape never touches the API.  Polls wait while a scrape is served, for 0.25 s at most (`scrape_priority`).  They
also wait while replicas take over each other's answers: `exporter.cluster` draws what the section `cluster` adds.

A folder is one idea, and its `__init__` says it.  Imports run one way: `cli`, `app`, `sharing`, `fleet`, `web`,
`polling` and `cluster`, `metrics`, `state`, `cams`, `config`, then the modules beside `app` that know nothing of the
others.
"""

__version__ = "0.2.0"
