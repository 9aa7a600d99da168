"""Checks of Kubernetes manifests: against the API's schemas, the `restricted` profile, and each other.

The chart and the kustomize folders use the same checks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

from exporter.cli.flags import flags
from tests.operations.tools import ROOT

Manifest = dict[str, Any]

KUBERNETES_VERSIONS = (all_versions()[0], kubernetes_validate.latest_version())
"""The oldest and the newest release with available schemas; Chart.yaml needs at least 1.25."""

_LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}


def _closed(required: Iterable[str] = (), **properties: Any) -> Manifest:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


_SECRET_KEY = _closed(["name", "key"], name={"type": "string"}, key={"type": "string"})
_ENDPOINT = _closed(
    ["port"],
    port={"type": "string"},
    path={"type": "string"},
    scheme={"enum": ["http", "https"]},
    interval=_DURATION,
    scrapeTimeout=_DURATION,
    tlsConfig=_closed(ca=_closed(secret=_SECRET_KEY), serverName={"type": "string"}),
    basicAuth=_closed(["username", "password"], username=_SECRET_KEY, password=_SECRET_KEY),
    relabelings={"type": "array", "items": {"type": "object"}},
    metricRelabelings={"type": "array", "items": {"type": "object"}},
)
_OPERATOR = {
    "ServiceMonitor": _closed(
        ["selector", "endpoints"],
        jobLabel={"type": "string"},
        namespaceSelector=_closed(matchNames={"type": "array", "items": {"type": "string"}}),
        selector=_closed(["matchLabels"], matchLabels=_LABELS),
        endpoints={"type": "array", "minItems": 1, "items": _ENDPOINT},
    ),
    "PrometheusRule": _closed(
        ["groups"], groups={"type": "array", "items": {"type": "object", "required": ["name", "rules"]}}
    ),
}
"""The part of the Prometheus operator's API (monitoring.coreos.com/v1) that our manifests use."""

_PATH = _closed(["type", "value"], type={"enum": ["Exact", "PathPrefix"]}, value={"type": "string"})
_ROUTE = _closed(
    ["parentRefs", "rules"],
    parentRefs={
        "type": "array",
        "minItems": 1,
        "items": _closed(
            ["name"], name={"type": "string"}, namespace={"type": "string"}, sectionName={"type": "string"}
        ),
    },
    hostnames={"type": "array", "items": {"type": "string"}},
    rules={
        "type": "array",
        "items": _closed(
            matches={"type": "array", "items": _closed(path=_PATH)},
            backendRefs={
                "type": "array",
                "items": _closed(["name", "port"], name={"type": "string"}, port={"type": "integer"}),
            },
        ),
    },
)
"""The part of HTTPRoute (gateway.networking.k8s.io/v1) that the chart uses."""


_SELECTORS = {"NetworkPolicy": "podSelector", "PodDisruptionBudget": "selector"}
"""Where kinds that concern pods select them."""


def check_schemas(manifests: Iterable[Manifest]) -> None:
    """Every field exists and has the right type, in the oldest and in the newest Kubernetes."""
    for manifest in manifests:
        if manifest["apiVersion"] == "monitoring.coreos.com/v1":
            jsonschema.validate(manifest["spec"], _OPERATOR[manifest["kind"]])
            continue
        if manifest["apiVersion"] == "gateway.networking.k8s.io/v1":
            jsonschema.validate(manifest["spec"], _ROUTE)
            continue
        for version in KUBERNETES_VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


def one(manifests: Iterable[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    found = [manifest for manifest in manifests if manifest["kind"] == kind]
    assert len(found) == 1, f"{len(found)} manifests of kind {kind}"
    return found[0]


def container(manifests: Iterable[Manifest]) -> Manifest:
    """The only container of the only Deployment."""
    containers: list[Manifest] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert len(containers) == 1
    return containers[0]


def check_restricted(manifests: Iterable[Manifest]) -> None:
    """Kubernetes' Pod Security Standard `restricted`, and beyond it: read-only root, no API token, a memory limit."""
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security.get("runAsUser", 65532) == security.get("runAsGroup", 65532) == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    volumes = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert volumes <= {"secret", "configMap", "emptyDir", "persistentVolumeClaim", "projected"}
    assert container(manifests)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert "limits" in container(manifests)["resources"]


def check_wiring(manifests: Iterable[Manifest]) -> None:
    """Selectors select these pods; names of ports, volumes, accounts and Secrets exist."""
    manifests = list(manifests)
    deployment = one(manifests, "Deployment")["spec"]
    pod_labels = deployment["template"]["metadata"]["labels"]
    pod = deployment["template"]["spec"]
    ports = {port["name"] for port in container(manifests)["ports"]}
    service = one(manifests, "Service")
    for selector in (deployment["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= pod_labels.items()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for probe in ("livenessProbe", "readinessProbe"):
        if "httpGet" in container(manifests)[probe]:
            assert container(manifests)[probe]["httpGet"]["port"] in ports
    mounted = [mount["name"] for mount in container(manifests)["volumeMounts"]]
    assert sorted(mounted) == sorted(volume["name"] for volume in pod["volumes"])
    served = {(service["metadata"]["name"], port[key]) for port in service["spec"]["ports"] for key in ("name", "port")}
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            assert manifest["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
            names = {port["name"] for port in service["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in manifest["spec"]["endpoints"]} <= names
            assert service["metadata"]["labels"][manifest["spec"]["jobLabel"]] == "cams-exporter"
        if manifest["kind"] == "Ingress":
            paths = [path for rule in manifest["spec"]["rules"] for path in rule["http"]["paths"]]
            backends = [path["backend"]["service"] for path in paths]
            assert {(backend["name"], backend["port"]["name"]) for backend in backends} <= served
        if manifest["kind"] == "HTTPRoute":
            references = [backend for rule in manifest["spec"]["rules"] for backend in rule["backendRefs"]]
            assert {(backend["name"], backend["port"]) for backend in references} <= served
        if manifest["kind"] in _SELECTORS:
            selector = manifest["spec"][_SELECTORS[manifest["kind"]]]
            assert selector["matchLabels"].items() <= pod_labels.items()
        if manifest["kind"] == "ServiceAccount":
            assert manifest["metadata"]["name"] == pod["serviceAccountName"]


def parsed_arguments(manifests: Iterable[Manifest]) -> argparse.Namespace:
    """The container's arguments, read by the exporter's own command line: a flag it does not know ends the test."""
    return flags().parse_args(container(manifests)["args"])


def outside_secrets(manifests: Iterable[Manifest]) -> str:
    """All texts that a reader without access to Secrets can read."""
    return "\n".join(str(manifest) for manifest in manifests if manifest["kind"] != "Secret")


def rules_of(manifest: Mapping[str, Any]) -> list[Manifest]:
    """The rules of a PrometheusRule, in order, with the group each is in."""
    return [{"group": group["name"], **rule} for group in manifest["spec"]["groups"] for rule in group["rules"]]


def shipped_rules() -> list[Manifest]:
    """The rules of prometheus/rules, in order."""
    files = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    return [rule for file in files for rule in rules_of({"spec": yaml.safe_load(file.read_text())})]
