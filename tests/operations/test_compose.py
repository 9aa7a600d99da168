"""compose.yml, and that every mounted file exists and fits its place.

Checked by a parser of the Compose specification.  The tests have no container engine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose

import exporter
from exporter.cli.flags import flags
from tests.operations.tools import ROOT, system_tool
from tests.support.patience import PATIENCE_SECONDS

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PORTS = {"exporter": 10106, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
"""The listening addresses in the containers: the images' own defaults."""


def mounts(service: str) -> dict[str, Path]:
    """Path in the container to the file or folder of the repository that is mounted there."""
    split = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return {volume[1]: ROOT / volume[0] for volume in split if volume[0].startswith(".")}


def test_it_follows_the_compose_specification() -> None:
    """No unknown key, no wrong type.  Merge keys are YAML's, and resolved before."""
    assert sorted(PyCompose.from_json(json.dumps(COMPOSE)).service_names()) == sorted(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_loopback_only(service: str) -> None:
    """`compose up` must not put a demo without passwords on the network."""
    port = PORTS[service]
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_may_more_than_it_needs(service: str) -> None:
    described = SERVICES[service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert not described.keys() & {"privileged", "cap_add", "network_mode", "pid", "user"}


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_to_a_version(service: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[service]["image"])


def test_the_exporter_is_the_one_of_this_checkout_and_knows_its_flags() -> None:
    described = SERVICES["exporter"]
    assert described["image"] == f"cams-exporter:{exporter.__version__}"
    assert (ROOT / described["build"]["context"] / "Dockerfile").is_file()
    assert flags().parse_args(described["command"]).demo


@pytest.mark.parametrize("service", SERVICES)
def test_every_volume_is_declared_or_a_file_that_is_there_and_stays_as_it_is(service: str) -> None:
    for volume in SERVICES[service].get("volumes", ()):
        source, _, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_who_waits_for_health_waits_for_an_image_with_a_health_check() -> None:
    waited = {
        name
        for described in SERVICES.values()
        if isinstance(described.get("depends_on"), dict)
        for name, how in described["depends_on"].items()
        if how["condition"] == "service_healthy"
    }
    assert waited == {"exporter"}
    assert "\nHEALTHCHECK " in (ROOT / "Dockerfile").read_text()


def test_prometheus_reads_its_configuration_and_all_rules_and_finds_its_peers(tmp_path: Path) -> None:
    """Files are laid out as mounted; then promtool checks them, and the addresses of the services are checked."""
    at = mounts("prometheus")
    for path, source in at.items():
        target = Path(f"{tmp_path}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    config = next(flag.partition("=")[2] for flag in SERVICES["prometheus"]["command"] if "config.file" in flag)
    file = Path(f"{tmp_path}{config}")
    file.write_text(file.read_text().replace("/etc/prometheus", f"{tmp_path}/etc/prometheus"))
    promtool = system_tool("promtool", "prometheus")
    done = subprocess.run(
        [promtool, "check", "config", file], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    shipped = list((ROOT / "prometheus" / "rules").glob("*.yml"))
    assert done.stdout.count("rules found") == len(shipped) > 0

    loaded = yaml.safe_load(file.read_text())
    (scrape,) = loaded["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == [f"exporter:{PORTS['exporter']}"]
    (alertmanager,) = loaded["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"][0]["targets"] == [f"alertmanager:{PORTS['alertmanager']}"]


def test_prometheus_differs_from_the_example_only_in_what_the_composition_changes() -> None:
    example = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    ours = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    assert ours.keys() == example.keys()
    # CamsExporterDown and the dashboards find the exporter by it.
    assert [job["job_name"] for job in ours["scrape_configs"]] == [job["job_name"] for job in example["scrape_configs"]]


def test_alertmanager_accepts_its_configuration() -> None:
    (config,) = mounts("alertmanager").values()
    assert f"--config.file={next(iter(mounts('alertmanager')))}" in SERVICES["alertmanager"]["command"]
    amtool = system_tool("amtool", "prometheus-alertmanager")
    done = subprocess.run(
        [amtool, "check-config", config], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_provisioned_with_this_prometheus_and_these_dashboards() -> None:
    at = mounts("grafana")
    provisioning = at["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert urlsplit(source["url"]).netloc == f"prometheus:{PORTS['prometheus']}"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "cams.yml").read_text())["providers"]
    files = list(at[provider["options"]["path"]].glob("*.json"))
    assert files
    for file in files:
        dashboard = json.loads(file.read_text())
        (chosen,) = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
        assert chosen["query"] == source["type"]
        asked = set(re.findall(r'"uid": "([^"]+)"', json.dumps(dashboard["panels"])))
        assert asked <= {"${" + chosen["name"] + "}", source["uid"]}, "a panel asks another datasource"
