"""The Helm chart, rendered by Helm's own library and judged by Kubernetes' own schemas."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError

import exporter
from exporter.config import load
from tests.operations import manifests as kubernetes
from tests.operations.manifests import Manifest, container, one
from tests.operations.tools import ROOT, system_tool

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
TLS: Values = {"tls_server_config": {"cert_file": "/run/secrets/tls/tls.crt", "key_file": "/run/secrets/tls/tls.key"}}
MUTUAL: Values = {
    "tls_server_config": {
        **TLS["tls_server_config"],
        "client_ca_file": "/run/secrets/tls/ca.crt",
        "client_auth_type": "RequireAndVerifyClientCert",
    },
    "basic_auth_users": {"prometheus": "$2y$10$abc"},
}
EVERYTHING: Values = {
    "config": CONFIG,
    "fullnameOverride": "exporter-of-cams",
    "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "secretMounts": [{"name": "tls", "mountPath": "/run/secrets/tls"}, {"name": "key", "mountPath": "/run/key"}],
    "rrsa": {"roleArn": "acs:ram::1:role/a", "oidcProviderArn": "acs:ram::1:oidc-provider/b"},
    "serviceAccount": {"annotations": {"a/b": "c"}},
    "web": {"config": MUTUAL, "telemetryPath": "/m", "enableLifecycle": True},
    "log": {"level": "debug", "format": "json"},
    "extraArgs": ["--web.max-requests=5"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "storage": {"enabled": True, "storageClassName": "fast"},
    "service": {"port": 80, "annotations": {"a": "b"}, "labels": {"c": "d"}},
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
VARIANTS: dict[str, Values] = {
    "config": {"config": CONFIG},
    "existing secret": {"existingSecret": "mine"},
    "demo": {"demo": True},
    "tls": {"config": CONFIG, "web": {"config": TLS}},
    "mutual tls": {"config": CONFIG, "web": {"existingSecret": "web", "existingSecretKey": "w.yml", "tls": "mutual"}},
    "rrsa by webhook": {"config": CONFIG, "rrsa": {"roleName": "cams-reader"}},
    "two replicas": {"config": CONFIG, "replicas": 2},
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


@pytest.fixture(params=list(VARIANTS.values()), ids=list(VARIANTS))
def values(request: pytest.FixtureRequest) -> Values:
    chosen: Values = request.param
    return chosen


def test_helm_lint_finds_nothing() -> None:
    report = lint(CHART, EVERYTHING, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_the_chart_has_the_version_of_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == exporter.__version__
    assert container(render({"demo": True}))["image"] == f"cams-exporter:{exporter.__version__}"


def test_without_a_configuration_it_says_what_to_set() -> None:
    """A release that cannot work must fail when it is installed, not when somebody looks at the pod."""
    with pytest.raises(HelmRenderError, match="no configuration given") as refused:
        render({})
    for way in ("config", "existingSecret", "demo: true"):
        assert way in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"config": CONFIG, "demo": True}, "exclude each other"),
        ({"existingSecret": "a", "config": CONFIG}, "exclude each other"),
        ({"demo": True, "web": {"config": TLS, "existingSecret": "a", "tls": "server"}}, "exclude each other"),
        ({"demo": True, "web": {"existingSecret": "a"}}, "web.tls"),
        ({"demo": True, "web": {"tls": "server"}}, "web.tls needs"),
        ({"demo": True, "rrsa": {"roleArn": "acs:ram::1:role/a"}}, "need each other"),
        ({"demo": True, "rrsa": {**EVERYTHING["rrsa"], "roleName": "a"}}, "exclude each other"),
        ({"demo": True, "rrsa": {"roleName": "a"}, "serviceAccount": {"create": False}}, "serviceAccount.create"),
        ({"demo": True, "replicas": 2, "storage": {"enabled": True}}, "one replica"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_reason(wrong: Values, reason: str) -> None:
    with pytest.raises(HelmRenderError, match=re.escape(reason)):
        render(wrong)


def with_number(phone_number: object) -> Values:
    numbers = [{"phone_number": phone_number, "cust_space_id": "cams-1"}]
    return {"config": {"accounts": [{"name": "a", "numbers": numbers}]}}


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"demo": True, "exisitngSecret": "a"}, "exisitngSecret"),
        ({"demo": True, "image": {"repo": "a"}}, "repo"),
        ({"demo": True, "image": {"digest": "latest"}}, "digest"),
        ({"demo": "yes"}, "demo"),
        ({"demo": True, "replicas": 1.5}, "replicas"),
        ({"demo": True, "log": {"level": "warning"}}, "level"),
        ({"demo": True, "extraArgs": ["demo"]}, "extraArgs"),
        ({"demo": True, "serviceMonitor": {"interval": 30}}, "interval"),
        ({"demo": True, "web": {"tls": "yes"}}, "tls"),
        (with_number(8613800001234), "phone_number"),
        (with_number("+86 138"), "phone_number"),
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(wrong: Values, key: str) -> None:
    """An unquoted phone number above all: Helm reads it as a float and would hand on 8.613800001234e+12."""
    with pytest.raises(HelmValuesError, match=key):
        render(wrong)


def test_every_variant_is_valid_kubernetes(values: Values) -> None:
    kubernetes.check_schemas(render(values))


def test_every_variant_is_restricted(values: Values) -> None:
    kubernetes.check_restricted(render(values))


def test_every_variant_is_wired_up(values: Values) -> None:
    kubernetes.check_wiring(render(values))


def test_every_variant_starts_with_flags_the_exporter_knows(values: Values) -> None:
    rendered = render(values)
    given = kubernetes.parsed_arguments(rendered)
    mounts = {mount["mountPath"] for mount in container(rendered)["volumeMounts"]}
    assert given.demo or str(given.config_file.parent) in mounts


def test_every_manifest_names_the_release_and_its_namespace(values: Values) -> None:
    for manifest in render(values):
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "monitoring"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "watch"
        assert metadata["labels"]["app.kubernetes.io/name"] == "cams-exporter"
        assert len(metadata["name"]) <= 63


def test_two_releases_of_one_namespace_do_not_meet() -> None:
    first, second = render({"demo": True}, "a"), render({"demo": True}, "b")
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in first + second]
    assert len(set(names)) == len(names)
    labels = one(second, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not one(first, "Service")["spec"]["selector"].items() <= labels.items()


def test_a_configuration_in_the_values_reaches_the_exporter_unharmed(tmp_path: Path) -> None:
    """Through Helm's YAML and back: digits stay strings, `on` and `no` stay words, `#` in a secret stays in it."""
    file = tmp_path / "config.yml"
    file.write_text(one(render({"config": CONFIG}), "Secret")["stringData"]["config.yml"])
    assert yaml.safe_load(file.read_text()) == CONFIG
    loaded = load(file)
    assert [number.phone_number for number in loaded.accounts[0].numbers] == ["8613800001234", "8613900005678"]
    assert [number.cust_space_id for number in loaded.accounts[0].numbers] == ["28880000000001", "0170123"]
    assert loaded.accounts[0].numbers[0].labels == (("team", "on"),)


def test_secrets_stand_in_secrets_only() -> None:
    seen = kubernetes.outside_secrets(render(EVERYTHING))
    assert "s3cr3t" not in seen
    assert "$2y$10$abc" not in seen
    assert "8613800001234" not in seen


def test_a_changed_configuration_rolls_the_pods_and_nothing_else_does() -> None:
    def annotations(values: Values) -> Values:
        found: Values = one(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return found

    before = annotations({"config": CONFIG, "web": {"config": TLS}})
    assert before == annotations({"config": CONFIG, "web": {"config": TLS}, "replicas": 2})
    changed = annotations({"config": {**CONFIG, "scrape_interval": "2m"}, "web": {"config": TLS}})
    assert changed["checksum/config"] != before["checksum/config"]
    assert changed["checksum/web"] == before["checksum/web"]
    assert annotations({"config": CONFIG, "web": {"config": MUTUAL}})["checksum/web"] != before["checksum/web"]


def test_an_existing_secret_is_mounted_where_the_exporter_looks() -> None:
    rendered = render({"existingSecret": "mine", "existingSecretKey": "cams.yml"})
    assert not [manifest for manifest in rendered if manifest["kind"] == "Secret"]
    assert "--config.file=/etc/cams-exporter/cams.yml" in container(rendered)["args"]
    volumes = one(rendered, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "mine", "defaultMode": 0o440} in [volume.get("secret") for volume in volumes]
    # With subPath the kubelet would never bring a changed Secret into the pod.
    assert not [mount for mount in container(rendered)["volumeMounts"] if "subPath" in mount]


@pytest.mark.parametrize(
    ("web", "scheme"),
    [
        ({}, "HTTP"),
        ({"config": {"basic_auth_users": {"a": "b"}}}, "HTTP"),
        ({"config": TLS}, "HTTPS"),
        ({"existingSecret": "web", "tls": "none"}, "HTTP"),
        ({"existingSecret": "web", "tls": "server"}, "HTTPS"),
    ],
)
def test_probes_and_scrapes_speak_what_the_server_speaks(web: Values, scheme: str) -> None:
    rendered = render({"demo": True, "web": web, "serviceMonitor": {"enabled": True}})
    pod = container(rendered)
    assert pod["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http", "scheme": scheme}
    assert pod["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http", "scheme": scheme}
    assert one(rendered, "ServiceMonitor")["spec"]["endpoints"][0]["scheme"] == scheme.lower()


@pytest.mark.parametrize("web", [{"config": MUTUAL}, {"existingSecret": "web", "tls": "mutual"}])
def test_under_mutual_tls_the_pod_probes_itself(web: Values) -> None:
    """The kubelet has no client certificate to show."""
    rendered = render({"demo": True, "web": web})
    for probe, path in (("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        command = container(rendered)[probe]["exec"]["command"]
        assert command == ["python3", "-m", "exporter.healthcheck", f"https://127.0.0.1:10106{path}"]


def test_one_replica_is_replaced_and_several_are_never_more_than_asked_for() -> None:
    """An extra pod during a roll-out would spend the account's budget twice."""
    assert one(render({"demo": True}), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    several = one(render({"demo": True, "replicas": 2}), "Deployment")["spec"]["strategy"]
    assert several["rollingUpdate"]["maxSurge"] == 0


def test_rrsa_with_the_webhook_is_an_annotation_and_a_label() -> None:
    rendered = render({"config": CONFIG, "rrsa": {"roleName": "cams-reader"}})
    account = one(rendered, "ServiceAccount")["metadata"]["annotations"]
    assert account == {"pod-identity.alibabacloud.com/role-name": "cams-reader"}
    labels = one(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["pod-identity.alibabacloud.com/injection"] == "on"


def test_rrsa_without_the_webhook_is_a_token_and_the_environment_the_credentials_chain_reads() -> None:
    rendered = render({"config": CONFIG, "rrsa": EVERYTHING["rrsa"]})
    environment = {entry["name"]: entry["value"] for entry in container(rendered)["env"]}
    token = Path(environment["ALIBABA_CLOUD_OIDC_TOKEN_FILE"])
    assert environment["ALIBABA_CLOUD_ROLE_ARN"] == "acs:ram::1:role/a"
    assert environment["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"] == "acs:ram::1:oidc-provider/b"
    mount = next(m for m in container(rendered)["volumeMounts"] if m["mountPath"] == str(token.parent))
    volumes = one(rendered, "Deployment")["spec"]["template"]["spec"]["volumes"]
    projected = next(volume for volume in volumes if volume["name"] == mount["name"])["projected"]["sources"]
    assert [source["serviceAccountToken"]["path"] for source in projected] == [token.name]
    assert [source["serviceAccountToken"]["audience"] for source in projected] == ["sts.aliyuncs.com"]


def test_storage_is_a_claim_and_without_it_nothing_outlives_the_pod() -> None:
    kept = render({"demo": True, "storage": {"enabled": True, "size": "1Gi"}})
    claim = one(kept, "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    volumes = one(kept, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"claimName": claim["metadata"]["name"]} in [volume.get("persistentVolumeClaim") for volume in volumes]
    assert "--storage.path=/var/lib/cams-exporter" in container(kept)["args"]
    assert "storage" not in str(container(render({"demo": True}))["args"])


def test_the_network_policy_lets_out_no_more_than_dns_and_https() -> None:
    policy = one(render({"demo": True}), "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    ports = {(port["port"], port["protocol"]) for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {(53, "UDP"), (53, "TCP"), (443, "TCP")}
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def shipped_rules() -> list[Manifest]:
    files = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    return [rule for file in files for rule in kubernetes.rules_of({"spec": yaml.safe_load(file.read_text())})]


def test_the_prometheus_rule_is_the_shipped_rules() -> None:
    """A copy that fell behind would alert on what the tests of the rules never saw."""
    rule = one(render({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert kubernetes.rules_of(rule) == shipped_rules()


def test_prometheus_itself_accepts_the_rules(tmp_path: Path) -> None:
    promtool = system_tool("promtool", "prometheus")
    file = tmp_path / "rules.yml"
    rule = one(render({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    file.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_disabled_alert_is_left_out_and_only_that() -> None:
    values = {"demo": True, "prometheusRule": {"enabled": True, "disabledAlerts": ["CamsExporterDown"]}}
    rules = kubernetes.rules_of(one(render(values), "PrometheusRule"))
    assert rules == [rule for rule in shipped_rules() if rule.get("alert") != "CamsExporterDown"]
    assert len(rules) < len(shipped_rules())


def test_the_dashboards_are_the_shipped_dashboards() -> None:
    data = one(render({"demo": True, "dashboards": {"enabled": True}}), "ConfigMap")["data"]
    shipped = {file.name: file.read_text() for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert {name: yaml.safe_load(text) for name, text in data.items()} == {
        name: yaml.safe_load(text) for name, text in shipped.items()
    }
    assert sum(map(len, data.values())) < 900_000, "a ConfigMap holds 1 MiB"


@pytest.mark.parametrize("kind", ["rules", "dashboards"])
def test_the_charts_copies_are_in_step(kind: str) -> None:
    """A chart reads only files of its own; deploy/sync renews them."""
    original = ROOT / {"rules": "prometheus/rules", "dashboards": "grafana/dashboards"}[kind]
    suffix = {"rules": "*.yml", "dashboards": "*.json"}[kind]
    copies = {file.name: file.read_bytes() for file in (CHART / "files" / kind).iterdir()}
    assert copies == {file.name: file.read_bytes() for file in original.glob(suffix)}, "run deploy/sync"


def test_the_notes_say_how_to_reach_and_reload_it() -> None:
    said = notes({"existingSecret": "mine", "web": {"config": TLS, "enableLifecycle": True}})
    assert "curl --insecure https://127.0.0.1:10106/metrics" in said
    assert "SIGHUP" in said
    assert "/-/reload" in said
    assert "simulated" in notes({"demo": True})
    assert "divided by 2" in notes({"demo": True, "replicas": 2})


def test_every_value_is_described_and_in_the_schema() -> None:
    """values.yaml is the chart's reference; a key the schema lacks could not be set at all."""
    with Chart.load(CHART) as chart:
        schema, defaults = chart.schema, chart.values
    assert schema is not None
    assert defaults.keys() == schema["properties"].keys() - {"global"}
    for name, value in defaults.items():
        known = schema["properties"][name]
        if isinstance(value, dict) and known.get("additionalProperties") is False:
            assert value.keys() == known["properties"].keys(), name
