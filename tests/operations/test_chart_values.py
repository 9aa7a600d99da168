"""Every value of the chart's values.yaml does something: a change of it changes the manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart

from tests.operations.chart import CHART, CONFIG, EVERYTHING, REPLICAS, TLS, Values, render

DEMO: Values = {"demo": True}
BEFORE: dict[str, Values] = {
    "config": {"existingSecret": "mine"},
    "existingSecret": {"config": CONFIG},
    "existingSecretKey": {"existingSecret": "mine"},
    "demo": {"config": CONFIG},
    "cluster.enabled": {"existingSecret": "mine"},
    "cluster.ports": REPLICAS,
    "rrsa.roleArn": {**DEMO, "rrsa": {**EVERYTHING["rrsa"]}},
    "rrsa.oidcProviderArn": {**DEMO, "rrsa": {**EVERYTHING["rrsa"]}},
    "web.existingSecret": {**DEMO, "web": {"tls": "none"}},
    "web.existingSecretKey": {**DEMO, "web": {"existingSecret": "web", "tls": "none"}},
    "web.tls": {**DEMO, "web": {"existingSecret": "web", "tls": "none"}},
    "storage.size": {**DEMO, "storage": {"enabled": True}},
    "storage.storageClassName": {**DEMO, "storage": {"enabled": True}},
    "storage.existingClaim": {**DEMO, "storage": {"enabled": True}},
    "ingress.enabled": {**DEMO, "ingress": {"hosts": ["a.example.org"]}},
    "ingress": {**DEMO, "ingress": {"enabled": True, "hosts": ["a.example.org"]}},
    "httpRoute.enabled": {**DEMO, "httpRoute": {"parentRefs": [{"name": "a"}]}},
    "httpRoute": {**DEMO, "httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}},
    "extraVolumeMounts": {**DEMO, "extraVolumes": [{"name": "extra", "emptyDir": {}}]},
    "serviceMonitor": {**DEMO, "serviceMonitor": {"enabled": True}},
    "serviceMonitor.enabled": DEMO,
    "prometheusRule": {**DEMO, "prometheusRule": {"enabled": True}},
    "prometheusRule.enabled": DEMO,
    "dashboards": {**DEMO, "dashboards": {"enabled": True}},
    "dashboards.enabled": DEMO,
}
"""What must be set for a value, or a section, to have an effect; else the demo is enough."""

AFTER: dict[str, Any] = {
    "config": CONFIG,
    "existingSecret": "probe",
    "existingSecretKey": "probe.yml",
    "demo": True,
    "image.repository": "probe.example/cams",
    "image.tag": "probe",
    "image.digest": "sha256:" + "1" * 64,
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "probe"}],
    "fullnameOverride": "probe",
    "replicaCount": 3,
    "cluster.enabled": True,
    "cluster.ports": [6380, 7777],
    "secretMounts": [{"name": "probe", "mountPath": "/probe"}],
    "rrsa.roleName": "probe",
    "rrsa.roleArn": "acs:ram::7:role/probe",
    "rrsa.oidcProviderArn": "acs:ram::7:oidc-provider/probe",
    "serviceAccount.create": False,
    "serviceAccount.name": "probe",
    "serviceAccount.annotations": {"probe": "yes"},
    "web.config": TLS,
    "web.existingSecret": "probe",
    "web.existingSecretKey": "probe.yml",
    "web.tls": "mutual",
    "web.telemetryPath": "/probe",
    "web.enableLifecycle": True,
    "log.level": "debug",
    "log.format": "json",
    "extraArgs": ["--web.max-requests=7"],
    "env": [{"name": "PROBE", "value": "a"}],
    "envFrom": [{"secretRef": {"name": "probe"}}],
    "extraVolumes": [{"name": "probe", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/probe"}],
    "storage.enabled": True,
    "storage.size": "7Gi",
    "storage.storageClassName": "probe",
    "storage.existingClaim": "probe",
    "service.port": 7777,
    "service.annotations": {"probe": "yes"},
    "service.labels": {"probe": "yes"},
    "ingress.enabled": True,
    "ingress.className": "probe",
    "ingress.annotations": {"probe": "yes"},
    "ingress.hosts": ["probe.example.org"],
    "ingress.tls": [{"secretName": "probe"}],
    "httpRoute.enabled": True,
    "httpRoute.annotations": {"probe": "yes"},
    "httpRoute.parentRefs": [{"name": "probe"}],
    "httpRoute.hostnames": ["probe.example.org"],
    "serviceMonitor.enabled": True,
    "serviceMonitor.labels": {"probe": "yes"},
    "serviceMonitor.interval": "7s",
    "serviceMonitor.scrapeTimeout": "7s",
    "serviceMonitor.tlsConfig": {"serverName": "probe"},
    "serviceMonitor.basicAuth": EVERYTHING["serviceMonitor"]["basicAuth"],
    "serviceMonitor.relabelings": [{"action": "labeldrop", "regex": "probe"}],
    "serviceMonitor.metricRelabelings": [{"action": "labeldrop", "regex": "probe"}],
    "prometheusRule.enabled": True,
    "prometheusRule.labels": {"probe": "yes"},
    "prometheusRule.disabledAlerts": ["CamsExporterDown"],
    "dashboards.enabled": True,
    "dashboards.labels": {"probe": "yes"},
    "dashboards.annotations": {"probe": "yes"},
    "networkPolicy.enabled": False,
    "networkPolicy.ingressFrom": [{"podSelector": {"matchLabels": {"probe": "yes"}}}],
    "networkPolicy.extraEgress": [{"ports": [{"port": 7777, "protocol": "TCP"}]}],
    "resources": {"limits": {"memory": "777Mi"}},
    "podSecurityContext": {"runAsUser": 777},
    "podAnnotations": {"probe": "yes"},
    "podLabels": {"probe": "yes"},
    "priorityClassName": "probe",
    "nodeSelector": {"probe": "yes"},
    "tolerations": [{"key": "probe", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": EVERYTHING["topologySpreadConstraints"],
}
"""Another value of each, than its default and than the one of BEFORE."""


def leaves(defaults: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all values; a section whose keys are not the chart's own is one value."""
    for name, value in defaults.items():
        known = schema["properties"][name]
        if isinstance(value, dict) and known.get("additionalProperties") is False:
            yield from leaves(value, known, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def paths() -> list[str]:
    with Chart.load(CHART) as chart:
        assert chart.schema is not None
        return list(leaves(chart.values, chart.schema))


def changed(before: Values, path: str) -> Values:
    """`before`, with the value at `path` from AFTER."""
    *sections, name = path.split(".")
    after: Values = dict(before)
    at = after
    for section in sections:
        at[section] = dict(at.get(section, {}))
        at = at[section]
    at[name] = AFTER[path]
    if path in {"config", "existingSecret", "demo"}:  # they exclude each other
        return {path: AFTER[path]}
    return after


def test_every_value_is_tried() -> None:
    assert sorted(AFTER) == sorted(paths())


def texts(value: Any) -> Iterator[str]:
    """All texts and numbers in a value, keys too."""
    if isinstance(value, dict):
        yield from (str(key) for key in value)
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif not isinstance(value, bool):
        yield str(value)


@pytest.mark.parametrize("path", AFTER)
def test_a_changed_value_changes_the_manifests(path: str) -> None:
    """A value that no template reads any more is a setting without effect."""
    before = BEFORE.get(path, BEFORE.get(path.partition(".")[0], DEMO))
    plain, other = yaml.safe_dump(render(before)), yaml.safe_dump(render(changed(before, path)))
    assert other != plain
    if path not in {"web.tls", "prometheusRule.disabledAlerts"}:  # they choose what is rendered
        assert all(text in other for text in texts(AFTER[path])), path
