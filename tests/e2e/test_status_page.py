"""The status page of a running exporter: results of polls, and masked numbers."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.simulator import HEALTH, HealthError, Refusal, Simulator, World, faults, phone_health
from tests.support.exporter import ExporterProcess, awaited, until
from tests.support.fleet import config, exported, fleet, found, phones
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


def test_found_numbers_are_shown_with_what_stops_them_and_what_to_do(tmp_path: Path) -> None:
    """From the API to the page, hashed: connection, verdict, error; EXPIRED that sends is no alarm; what is refused."""
    world = World()
    every = phones(4)
    section = found(world, {"cams-one": every}, health={"interval": "1s"})
    banned, blocked, expired, _ = (world.find_numbers(phone)[0] for phone in every)
    banned.connection_status, banned.quality_rating = "BANNED", "RED"
    blocked.health = phone_health("BLOCKED", HealthError("131031", f"{every[1]} is locked.", "Appeal."))
    expired.status = "EXPIRED"
    (tmp_path / "key").write_text("0123456789abcdefghijklmnopqrstuvwxyz")
    hashed = {"phone_number_label": "hashed", "phone_number_hash_key_file": str(tmp_path / "key")}
    with exported(world, section, flags=["--log.level=debug"], **hashed) as exporter:
        page = awaited(lambda: Reader(exporter.get("/numbers")[1]), all_known, "listed, polled and checked")
        first = next(link for link in page.links if link.startswith("numbers/number"))
        body = exporter.get(f"/{first}")[1]
        world.accounts["main"].calls[HEALTH].refusal = Refusal.PERMISSION_DENIED
        until(lambda: "Grant cams:GetWhatsappHealthStatus" in Reader(exporter.get("/numbers")[1]).text, "refused")
        log = exporter.log
    rows = page.numbers
    assert rows[0]["Can send"].startswith("BLOCKED")
    assert (rows[1]["Connection"], rows[1]["Quality"]) == ("BANNED", "RED")
    assert [row["Status"] for row in rows] == ["VERIFIED", "VERIFIED", "EXPIRED", "VERIFIED"]
    assert {row["Source"] for row in rows} == {"found"}
    assert page.looks["EXPIRED"] == {"plain"}
    text = Reader(body).plain
    assert "The number cannot send: the health check says BLOCKED." in text
    assert f"{rows[0]['Number']} is locked." in text
    for phone in every:
        assert not any(phone in written for written in (log, body.decode(), page.text))


def all_known(page: Reader) -> bool:
    """Whether each of the four numbers was polled, listed and checked."""
    cells = [row[column] for row in page.numbers for column in ("Status", "Connection", "Can send")]
    return len(cells) == 12 and not any(cell == "UNKNOWN" or cell.endswith(" yet") for cell in cells)


def foretold(html: bytes) -> bool:
    """Whether the page shows when each number is polled next; it does not while one is being polled."""
    return all(re.match(r"due|in \d", row["Next poll"]) for row in Reader(html).numbers)
