"""The Helm chart for tests: values, and the manifests that Helm's own library renders from them."""

from __future__ import annotations

from typing import Any

import yaml
from helm_python.chart import Chart

from tests.operations.manifests import Manifest
from tests.operations.tools import ROOT

HASH = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
"""bcrypt of `secret`."""

CHART = ROOT / "deploy" / "helm" / "cams-exporter"
Values = dict[str, Any]

CONFIG: Values = {
    "scrape_interval": "30s",
    "accounts": [
        {
            "name": "main",
            "qps": 5,
            "credentials": {"type": "access_key", "access_key_id": "LTAI-id", "access_key_secret": "#s3cr3t:x"},
            "numbers": [
                {"phone_number": "8613800001234", "cust_space_id": "28880000000001", "labels": {"team": "on"}},
                {"phone_number": "8613900005678", "cust_space_id": "0170123", "name": "no"},
            ],
        }
    ],
}
STORE_MOUNT = {"name": "valkey", "mountPath": "/run/secrets/valkey"}
CLUSTER: Values = {
    **CONFIG,
    "cluster": {
        "url": "rediss://valkey.example:6380/0",
        "username": "cams",
        "password_file": "/run/secrets/valkey/password",
        "replicas": 3,
    },
}
REPLICAS: Values = {
    "config": CLUSTER,
    "replicaCount": 2,
    "cluster": {"ports": [6380]},
    "secretMounts": [STORE_MOUNT],
}
"""Two replicas as one, with the store's password from a Secret."""
TLS_MOUNT = {"name": "tls", "mountPath": "/run/secrets/tls"}
TLS: Values = {"tls_server_config": {"cert_file": "/run/secrets/tls/tls.crt", "key_file": "/run/secrets/tls/tls.key"}}
MUTUAL: Values = {
    "tls_server_config": {
        **TLS["tls_server_config"],
        "client_ca_file": "/run/secrets/tls/ca.crt",
        "client_auth_type": "RequireAndVerifyClientCert",
    },
    "basic_auth_users": {"prometheus": HASH},
}
EVERYTHING: Values = {
    "config": CONFIG,
    "fullnameOverride": "exporter-of-cams",
    "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "secretMounts": [TLS_MOUNT, {"name": "key", "mountPath": "/run/key"}],
    "rrsa": {"roleArn": "acs:ram::1:role/a", "oidcProviderArn": "acs:ram::1:oidc-provider/b"},
    "serviceAccount": {"annotations": {"a/b": "c"}},
    "web": {"config": MUTUAL, "telemetryPath": "/m", "enableLifecycle": True},
    "log": {"level": "debug", "format": "json"},
    "extraArgs": ["--web.max-requests=5"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "numbers", "configMap": {"name": "cams-numbers"}}],
    "extraVolumeMounts": [{"name": "numbers", "mountPath": "/etc/cams-numbers", "readOnly": True}],
    "storage": {"enabled": True, "storageClassName": "fast"},
    "service": {"port": 80, "annotations": {"a": "b"}, "labels": {"c": "d"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"},
        "hosts": ["cams.example.org", "numbers.example.org"],
        "tls": [{"secretName": "public-tls", "hosts": ["cams.example.org"]}],
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"e": "f"},
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["cams.example.org"],
    },
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "tlsConfig": {"ca": {"secret": {"name": "tls", "key": "ca.crt"}}, "serverName": "exporter"},
        "basicAuth": {"username": {"name": "auth", "key": "u"}, "password": {"name": "auth", "key": "p"}},
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "name"}],
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True, "annotations": {"folder": "CAMS"}},
    "networkPolicy": {
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
    },
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "priorityClassName": "high",
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
}
RELATIVE: Values = {
    "tls_server_config": {
        key: str(value).removeprefix("/run/secrets/tls/") for key, value in MUTUAL["tls_server_config"].items()
    }
}
"""As MUTUAL, with the files beside it in the same Secret."""

VARIANTS: dict[str, Values] = {
    "config": {"config": CONFIG},
    "existing secret": {"existingSecret": "mine"},
    "demo": {"demo": True},
    "tls": {"config": CONFIG, "web": {"config": TLS}, "secretMounts": [TLS_MOUNT]},
    "mutual tls": {"config": CONFIG, "web": {"existingSecret": "web", "existingSecretKey": "w.yml", "tls": "mutual"}},
    "rrsa by webhook": {"config": CONFIG, "rrsa": {"roleName": "cams-reader"}},
    "openshift": {"config": CONFIG, "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "two replicas": {"config": CONFIG, "replicaCount": 2},
    "cluster": REPLICAS,
    "cluster of an existing secret": {
        "existingSecret": "cluster",
        "replicaCount": 2,
        "cluster": {"enabled": True, "ports": [6380]},
        "secretMounts": [STORE_MOUNT],
    },
    "given claim": {"config": CONFIG, "storage": {"enabled": True, "existingClaim": "mine"}},
    "bare": {
        "config": CONFIG,
        "serviceAccount": {"create": False, "name": "mine"},
        "networkPolicy": {"enabled": False},
        "image": {"repository": "registry.example/cams", "tag": "main"},
    },
    "everything": EVERYTHING,
}


def render(values: Values, release: str = "watch") -> list[Manifest]:
    """The manifests that `helm template RELEASE --namespace monitoring` prints."""
    with Chart.load(CHART) as chart:
        rendered = chart.render(values, name=release, namespace="monitoring")
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def notes(values: Values) -> str:
    with Chart.load(CHART) as chart:
        return chart.render(values, name="watch", namespace="monitoring")["cams-exporter/templates/NOTES.txt"]
