"""From a lost verification to the pager: simulator, exporter, Prometheus, Alertmanager, webhook.

The rules, `prometheus.yml` and `alertmanager.yml` are the shipped ones.  Only addresses and times are changed:
intervals, `for` and `keep_firing_for` of the rules, and Alertmanager's group times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporter.simulator import Refusal, Simulator, World
from tests.support.alertmanager import Notification, RealAlertmanager, Webhook
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet
from tests.support.prometheus import RealPrometheus
from tests.support.servers import each_release
from tests.support.shipped import prometheus_config, quick_alertmanager, quick_rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUNBOOKS = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/runbooks/"


@each_release
def test_a_number_that_loses_its_verification_reaches_its_team_and_is_taken_back(release: str, tmp_path: Path) -> None:
    """Firing, then resolved, to the on-call of the number's team.  While its account is refused, only that alert is
    sent."""
    world = World()
    section = fleet(world, 3)
    desk, shop, kiosk = section["numbers"]
    desk |= {"name": "desk", "labels": {"team": "care"}}
    shop |= {"name": "shop"}
    kiosk |= {"name": "kiosk", "labels": {"team": "care"}}

    def answer(number: Mapping[str, Any], status: str) -> None:
        world.find_numbers(number["phone_number"])[0].status = status

    with (
        Webhook() as webhook,
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section])) as exporter,
        RealAlertmanager(quick_alertmanager(webhook.url), release=release) as alertmanager,
        RealPrometheus(
            config=prometheus_config([exporter.target], alertmanager.target),
            rule_files=quick_rules(tmp_path),
            release=release,
        ) as prometheus,
    ):

        def told(receiver: str, status: str, since: int = 0, **labels: str) -> tuple[Notification, Mapping[str, Any]]:
            """Wait for a notification to `receiver` about such an alert; returns it and the alert."""

            def found() -> list[tuple[Notification, Mapping[str, Any]]]:
                notes = webhook.notifications(receiver, since)
                return [(note, alert) for note in notes if (alert := note.find(status, **labels))]

            told_so = f"{receiver} is told that {labels} is {status}; so far: {webhook.notifications()}"
            prometheus.wait_until(lambda: bool(found()), told_so)
            return found()[0]

        verified = 'number:cams_phone_number_verification_status:newest{status="VERIFIED"}'
        prometheus.wait_until(lambda: len(prometheus.query(verified)) == 3, "all is well")

        # A number of a team: its on-call gets the alert, with all details.
        answer(desk, "NOT_VERIFIED")
        note, alert = told("team-care-on-call", "firing", alertname="CamsNumberNotVerified")
        assert note.group == {"environment": "production", "account": "main"}
        assert alert["labels"] == {
            "alertname": "CamsNumberNotVerified",
            "severity": "critical",
            "environment": "production",
            "account": "main",
            "cust_space_id": desk["cust_space_id"],
            "phone_number": desk["phone_number"],
            "status": "NOT_VERIFIED",
            "name": "desk",
            "team": "care",
        }
        assert alert["annotations"]["summary"] == f"desk {desk['phone_number']} is not verified"
        assert f"WhatsApp number desk {desk['phone_number']} (account main" in alert["annotations"]["description"]
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}CamsNumberNotVerified.md"

        # A warning goes to the team, not to its on-call.  An alert without a team goes to the default on-call.
        answer(kiosk, "REJECTED")
        answer(shop, "NOT_VERIFIED")
        told("team-care", "firing", alertname="CamsNumberUnexpectedStatus", name="kiosk", severity="warning")
        told("on-call", "firing", alertname="CamsNumberNotVerified", name="shop")

        # Fixed: the on-call gets a message.
        answer(desk, "VERIFIED")
        told("team-care-on-call", "resolved", alertname="CamsNumberNotVerified", name="desk")
        assert {one.receiver for one in webhook.notifications() if one.find("firing", name="desk")} == {
            "team-care-on-call"
        }

        # The account is refused.  Then no alert about its numbers is sent, not even a new one: a reload renames shop,
        # so it gets a new alert.
        before = webhook.count()
        world.accounts["main"].refusal = Refusal.FORBIDDEN
        _, alert = told("on-call", "firing", before, alertname="CamsAccountRefused", account="main")
        assert alert["annotations"]["summary"] == "Alibaba Cloud refuses account main"
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}CamsAccountRefused.md"
        (refusal,) = alertmanager.alerts('alertname="CamsAccountRefused"')

        def inhibitors(name: str) -> list[list[str]]:
            return [one["status"]["inhibitedBy"] for one in alertmanager.alerts(f'name="{name}"')]

        shop["name"] = "market"
        exporter.write_config(config(simulator.url, [section]))
        exporter.reload()
        by_refusal = [[refusal["fingerprint"]]]
        until(lambda: inhibitors("kiosk") == inhibitors("market") == by_refusal, "both alerts are inhibited")
        alerts = 'ALERTS{alertstate="firing", alertname="CamsNumberNotVerified", name="market"}'
        prometheus.wait_until(lambda: prometheus.value(alerts) == 1, "the alert fires all the same")
        looked_up = alertmanager.metric("alertmanager_nflog_queries_total")
        until(
            lambda: alertmanager.metric("alertmanager_nflog_queries_total") > looked_up + 2, "groups were gone through"
        )
        before = webhook.count()
        assert [note for note in webhook.notifications() if note.find("firing", name="market")] == []

        # Accepted again: that is sent, and the muted alerts too.
        world.accounts["main"].refusal = None
        told("on-call", "resolved", before, alertname="CamsAccountRefused")
        told("on-call", "firing", before, alertname="CamsNumberNotVerified", name="market")
