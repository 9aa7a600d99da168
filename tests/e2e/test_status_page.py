"""The status page of a running exporter: results of polls, and masked numbers."""

from __future__ import annotations

import re

from exporter.simulator import Refusal, Simulator, World, faults
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet, phones
from tests.support.shown import Reader


def test_masked_numbers_are_shown_with_their_polls_and_never_in_full() -> None:
    """From the API to the page: status, failure with RequestId and advice, next poll; no full number in page or log."""
    world = World()
    section = fleet(world, 3)
    failing, expired, _ = every = phones(3)
    world.find_numbers(expired)[0].status = "EXPIRED"
    refusal = Refusal.INVALID_NUMBER
    world.find_numbers(failing)[0].fault = faults.error(refusal.status, refusal.code, f"{failing} is not valid.")
    with Simulator(world) as simulator:
        masked = config(simulator.url, [section], phone_number_label="masked")
        with ExporterProcess(masked, "--log.level=debug") as exporter:
            until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
            page = Reader(exporter.get("/numbers")[1])
            links = [link for link in page.links if link.startswith("numbers/number")]
            until(lambda: exporter.get(f"/{links[0]}")[1].count(b"failed") > 3, "a few polls")
            until(lambda: foretold(exporter.get("/numbers")[1]), "the next polls are told")
            status, body, headers = exporter.get(f"/{links[0]}")
            _, found, _ = exporter.get(f"/numbers?q={failing}")
        pages = [exporter.log, body.decode(), page.text, Reader(found).text]
    assert [row["Status"] for row in page.numbers] == ["UNKNOWN", "EXPIRED", "VERIFIED"]
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    text = " ".join(Reader(body).text.split())
    assert "What to do: The number or its space is wrong" in text
    assert re.search(r"For Alibaba Cloud support: RequestId [0-9A-F-]{36}", text)
    assert "No number matches" in Reader(found).text
    for phone in every:
        assert not any(phone in written for written in pages)


def foretold(html: bytes) -> bool:
    """Whether the page shows when each number is polled next; it does not while one is being polled."""
    return all(re.match(r"due|in \d", row["Next poll"]) for row in Reader(html).numbers)
