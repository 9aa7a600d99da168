"""From the listing and the health check to the pager: simulator, exporter, Prometheus, Alertmanager, webhook.

The rules are the shipped ones with every duration divided by TIMES, like the intervals of the exporter: 2 seconds here
are a minute there.  Scrapes, evaluations and Alertmanager's waits take a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator import PHONE_NUMBERS, World, faults
from tests.support.alertmanager import RealAlertmanager, Webhook
from tests.support.fleet import exported, found, phones
from tests.support.prometheus import RealPrometheus
from tests.support.servers import INSTALLED
from tests.support.shipped import prometheus_config, quick_alertmanager, scaled_rules

if TYPE_CHECKING:
    from pathlib import Path

TIMES = 30
REFRESH = f"{5 * 60 // TIMES}s"
FIRED = 'group by (alertname, severity, account, phone_number) (ALERTS{alertstate="firing"})'
ABOUT_THIS_MACHINE = {"CamsExporterDown", "CamsExporterAbsent", "CamsBudgetTooSmall"}
"""A busy machine may fail scrapes or delay polls.  Other tests are about these alerts."""


def test_a_ban_pages_an_expired_number_that_sends_is_silent_and_a_listing_that_fails_is_told(tmp_path: Path) -> None:
    """Three accounts at the same time, in the time of half an hour, and nothing else fires in it.

    ``ban``: a number is BANNED, and pages.  ``worn``: a number reads EXPIRED, is CONNECTED and AVAILABLE.  ``lost``:
    its listings fail all the time after the first.
    """
    world = World()
    banned, fine, worn, lost = phones(4)
    keys = {"discover_refresh_interval": REFRESH, "health": {"interval": REFRESH}}
    sections = [
        found(world, {"cams-ban": [banned, fine]}, name="ban", **keys),
        found(world, {"cams-worn": [worn]}, name="worn", **keys),
        found(world, {"cams-lost": [lost]}, name="lost", **keys),
    ]
    world.find_numbers(worn)[0].status = "EXPIRED"
    with (
        Webhook() as webhook,
        exported(world, *sections, scrape_interval="5s") as exporter,
        RealAlertmanager(quick_alertmanager(webhook.url), release=INSTALLED) as alertmanager,
        RealPrometheus(
            config=prometheus_config([exporter.target], alertmanager.target),
            rule_files=scaled_rules(tmp_path, TIMES),
            release=INSTALLED,
        ) as prometheus,
    ):
        connected = 'number:cams_phone_number_connection_status:newest{status="CONNECTED"}'
        available = 'number:cams_phone_number_can_send:newest{verdict="AVAILABLE"}'
        prometheus.wait_until(lambda: len(prometheus.query(connected)) == 4, "four numbers are connected")
        prometheus.wait_until(lambda: len(prometheus.query(available)) == 4, "four numbers can send")
        world.accounts["lost"].calls[PHONE_NUMBERS].fault = faults.bare(500)
        world.find_numbers(banned)[0].connection_status = "BANNED"

        def paged() -> bool:
            return any(
                note.find("firing", alertname="CamsNumberDisconnected", severity="critical", phone_number=banned)
                for note in webhook.notifications("on-call")
            )

        prometheus.wait_until(paged, "the ban pages the on-call")

        def warned() -> bool:
            return any(
                note.find("firing", alertname="CamsDiscoveryFailing", severity="warning", account="lost")
                for note in webhook.notifications("default")
            )

        prometheus.wait_until(warned, "listings that fail are told")
        # The rest of half an hour: by Prometheus's own count of evaluations, not by this machine's clock.
        evaluations = 'count_over_time(number:cams_phone_number_can_send:newest{account="worn"}[1h])'
        prometheus.wait_until(lambda: prometheus.value(evaluations) > 30 * 60 // TIMES, "half an hour")
        fired = {
            (sample.labels["alertname"], sample.labels["account"], sample.labels.get("phone_number", ""))
            for sample in prometheus.query(f"last_over_time(({FIRED})[10m:1s])")
            if sample.labels["alertname"] not in ABOUT_THIS_MACHINE
        }
        assert fired == {("CamsNumberDisconnected", "ban", banned), ("CamsDiscoveryFailing", "lost", "")}
        assert {alert["labels"]["account"] for note in webhook.notifications() for alert in note.alerts} == {
            "ban",
            "lost",
        }
        name = prometheus.wait_for_series('number:cams_phone_number_info:newest{account="ban"}')[0].labels["name"]
        assert name == "Simulated Ltd"
