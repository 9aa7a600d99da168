"""The kustomize folders, built by kubectl's own kustomize and checked like the chart."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import exporter
from tests.operations import manifests as kubernetes
from tests.operations.chart import render
from tests.operations.manifests import Manifest, container, one
from tests.operations.pod import check_configuration
from tests.operations.tools import ROOT, python_tool
from tests.support.patience import PATIENCE_SECONDS

FOLDER = ROOT / "deploy" / "kustomize"
CONFIG = (FOLDER / "example" / "config.yml").read_text()


def build(folder: Path) -> list[Manifest]:
    """The manifests that `kubectl apply --kustomize FOLDER` would send."""
    done = subprocess.run(
        [python_tool("kubectl"), "kustomize", folder],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the folders, edited as their headers say."""
    return shutil.copytree(FOLDER, tmp_path / "kustomize")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file.name} has not exactly one {old!r}"
    file.write_text(text.replace(old, new))


@pytest.fixture(params=["base", "demo", "example"])
def built(request: pytest.FixtureRequest) -> list[Manifest]:
    return build(FOLDER / str(request.param))


def test_every_folder_is_built_into_valid_kubernetes(built: list[Manifest]) -> None:
    kubernetes.check_schemas(built)


def test_every_folder_is_restricted(built: list[Manifest]) -> None:
    kubernetes.check_restricted(built)


def test_every_folder_is_wired_up(built: list[Manifest]) -> None:
    kubernetes.check_wiring(built)


def test_every_folder_starts_with_flags_and_a_configuration_the_exporter_accepts(
    built: list[Manifest], tmp_path: Path
) -> None:
    done = check_configuration(built, tmp_path, {"cams-exporter-config": {"config.yml": CONFIG}})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["demo", "example"])
def test_a_folder_brings_a_namespace_that_enforces_the_restricted_profile_and_stays_in_it(name: str) -> None:
    manifests = build(FOLDER / name)
    namespace = one(manifests, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [manifest["metadata"] for manifest in manifests if manifest["kind"] != "Namespace"]
    assert {metadata["namespace"] for metadata in others} == {namespace["name"]}


@pytest.mark.parametrize("name", ["demo", "example"])
def test_the_image_has_the_version_of_the_package(name: str) -> None:
    assert container(build(FOLDER / name))["image"] == f"cams-exporter:{exporter.__version__}"


def test_the_demo_needs_no_secret() -> None:
    assert "ecret" not in str(build(FOLDER / "demo")).replace("secrets.", "")
    assert "--demo" in container(build(FOLDER / "demo"))["args"]


def test_a_changed_configuration_rolls_the_pod(own: Path) -> None:
    """By a new name of the Secret; an unchanged one keeps its name."""

    def secret(folder: Path) -> str:
        manifests = build(folder)
        name = str(one(manifests, "Secret")["metadata"]["name"])
        volumes = one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
        assert name in [volume.get("secret", {}).get("secretName") for volume in volumes]
        return name

    before = secret(FOLDER / "example")
    assert secret(own / "example") == before
    edit(own / "example" / "config.yml", "qps: 5", "qps: 4")
    assert secret(own / "example") != before


def test_the_example_takes_the_monitoring_folder_when_its_line_is_uncommented(own: Path) -> None:
    edit(own / "example" / "kustomization.yaml", "  # - ../monitoring", "  - ../monitoring")
    manifests = build(own / "example")
    kubernetes.check_schemas(manifests)
    kubernetes.check_wiring(manifests)
    assert one(manifests, "ServiceMonitor")["metadata"]["namespace"] == "cams-exporter"
    assert kubernetes.rules_of(one(manifests, "PrometheusRule")) == kubernetes.shipped_rules()


@pytest.fixture
def replicas(own: Path) -> list[Manifest]:
    """The example with the component, edited as its comments say."""
    config, file = own / "example" / "config.yml", own / "example" / "kustomization.yaml"
    plain, section = config.read_text().split("# cluster:\n")
    config.write_text(f"{plain}cluster:\n{re.sub('^# ', '', section, flags=re.MULTILINE)}")
    (own / "example" / "store-password").write_text("s3cr3t\n")
    edit(file, "# components:\n#   - ../cluster\n", "components:\n  - ../cluster\n")
    edit(file, "      # - store-password", "      - store-password")
    return build(own / "example")


def test_the_example_takes_the_cluster_when_its_lines_are_uncommented(replicas: list[Manifest], tmp_path: Path) -> None:
    kubernetes.check_schemas(replicas)
    kubernetes.check_restricted(replicas)
    kubernetes.check_wiring(replicas)
    assert "s3cr3t" not in kubernetes.outside_secrets(replicas)
    done = check_configuration(replicas, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "while the store is away each replica polls each account" in done.stdout


def test_the_cluster_is_the_one_of_the_chart(replicas: list[Manifest]) -> None:
    values = {"existingSecret": "mine", "replicaCount": 2, "cluster": {"enabled": True}}
    chart = render(values, "cams-exporter")
    for key in ("replicas", "strategy"):
        assert one(replicas, "Deployment")["spec"][key] == one(chart, "Deployment")["spec"][key]
    assert one(replicas, "NetworkPolicy")["spec"]["egress"] == one(chart, "NetworkPolicy")["spec"]["egress"]

    def names(manifests: list[Manifest]) -> Manifest:
        affinity: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]["affinity"]
        (rule,) = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        budget = one(manifests, "PodDisruptionBudget")["spec"]
        for selector in (rule["podAffinityTerm"]["labelSelector"], budget["selector"]):
            selector["matchLabels"].pop("app.kubernetes.io/instance", None)
        return {"affinity": affinity, "budget": budget}

    assert names(replicas) == names(chart)


def test_the_example_takes_a_ram_role_when_its_last_lines_are_uncommented(own: Path) -> None:
    file = own / "example" / "kustomization.yaml"
    text, patches = file.read_text().split("# patches:\n")
    file.write_text(f"{text}patches:\n{re.sub('^# ', '', patches, flags=re.MULTILINE)}")
    manifests = build(own / "example")
    kubernetes.check_schemas(manifests)
    annotations = one(manifests, "ServiceAccount")["metadata"]["annotations"]
    assert annotations == {"pod-identity.alibabacloud.com/role-name": "cams-reader"}
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["pod-identity.alibabacloud.com/injection"] == "on"


def test_the_monitoring_folder_stands_alone() -> None:
    kubernetes.check_schemas(build(FOLDER / "monitoring"))


def test_the_workload_is_the_one_of_the_chart() -> None:
    """The chart and the folders must describe the same deployment."""
    plain, chart = build(FOLDER / "base"), render({"existingSecret": "cams-exporter-config"})

    def comparable(manifests: list[Manifest]) -> Manifest:
        pod: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
        del pod["serviceAccountName"], container(manifests)["image"], container(manifests)["args"]
        container(manifests).pop("imagePullPolicy", None)
        for probe in ("livenessProbe", "readinessProbe"):
            container(manifests)[probe]["httpGet"].setdefault("scheme", "HTTP")
        return pod

    for kind, key in (("NetworkPolicy", "egress"), ("NetworkPolicy", "ingress"), ("Service", "ports")):
        assert one(plain, kind)["spec"][key] == one(chart, kind)["spec"][key]
    assert one(plain, "Deployment")["spec"]["strategy"] == one(chart, "Deployment")["spec"]["strategy"]
    assert comparable(plain) == comparable(chart)
