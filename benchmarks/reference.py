"""The exporter without its own exposition: the same parts, served by prometheus_client.

    python -m benchmarks.reference --config.file=FILE

Runs as its own process.  Polling, state and the custom collector are the exporter's; `start_http_server`,
`generate_latest` and gzip are the library's.  It prints its address, when every number was polled, and when a reload by
SIGHUP is done.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from benchmarks.plain_collector import PlainCollector
from exporter.app import App
from exporter.config import load
from exporter.model import SystemClock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config.file", dest="config", type=Path, required=True)
    config = parser.parse_args().config
    app = App(load(config), SystemClock(), version="reference", revision="benchmark")
    registry = CollectorRegistry()
    registry.register(PlainCollector(app.exposition.collector))
    registry.register(app.exposition.others)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    stopped = threading.Event()
    reload = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    app.start()
    is_ready = False
    while not stopped.is_set():
        if reload.is_set():
            reload.clear()
            app.reload(lambda: load(config))
            print("configuration reloaded", flush=True)
        if not is_ready and not app.not_ready():
            is_ready = True
            print("every number was asked", flush=True)
        time.sleep(0.1)
    app.stop()
    server.shutdown()


if __name__ == "__main__":
    main()
