"""The exporter's polls wait for a scrape, both before they send and before they read; on sockets."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from exporter.app import App
from exporter.config import load
from exporter.polling.account import MAX_STAGGER_SECONDS
from exporter.scrape_priority import MAX_WAIT_SECONDS
from tests.support.clock import FakeClock
from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import Peer, RawServer, ok

QPS = 5.0
DUE_SECONDS = min(1.05 / QPS, MAX_STAGGER_SECONDS)
"""The first poll is due by then; shorter than a scrape that polls wait for."""

CONFIG = f"""\
scrape_interval: 1h
api: {{endpoint: URL}}
accounts:
  - name: main
    qps: {QPS}
    credentials: {{type: access_key, access_key_id: id, access_key_secret: secret}}
    numbers: [{{phone_number: "8613900001234", cust_space_id: cams-1}}]
"""


def test_polls_wait_for_a_scrape_before_they_send_and_before_they_read_an_answer(tmp_path: Path) -> None:
    """The clock stands still meanwhile, so that a slow machine does not end the wait."""
    assert DUE_SECONDS < MAX_WAIT_SECONDS
    asked, may_answer = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        while peer.read_request():
            asked.set()
            may_answer.wait(PATIENCE_SECONDS)
            peer.send(ok())

    with RawServer(script) as server:
        path = tmp_path / "config.yml"
        path.write_text(CONFIG.replace("URL", server.url))
        clock = FakeClock()
        app = App(load(path), clock, version="1", revision="1")

        def is_read() -> bool:
            return app.view()[0].numbers[0].last_poll_success is True

        try:
            with app.priority.scrape():
                app.start()
                clock.advance(DUE_SECONDS)
                assert not asked.wait(2 * DUE_SECONDS)
            assert asked.wait(PATIENCE_SECONDS)
            with app.priority.scrape():
                may_answer.set()
                time.sleep(0.2)
                assert not is_read()
            until(is_read, "the answer is read")
        finally:
            may_answer.set()
            app.stop()
