"""Each part of the Helm chart: configuration, secrets, probes, credentials, storage, network, monitoring."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.config import load
from tests.operations import manifests as kubernetes
from tests.operations.chart import CONFIG, EVERYTHING, HASH, MUTUAL, REPLICAS, TLS, VARIANTS, Values, render
from tests.operations.manifests import container, one
from tests.operations.tools import ROOT, system_tool
from tests.support.patience import PATIENCE_SECONDS


def test_a_configuration_in_the_values_reaches_the_exporter_unharmed(tmp_path: Path) -> None:
    """Helm's YAML keeps digits as strings, `on` and `no` as words, and `#` in a secret."""
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
    assert HASH not in seen
    assert "8613800001234" not in seen


def test_a_changed_configuration_rolls_the_pods_and_nothing_else_does() -> None:
    def annotations(values: Values) -> Values:
        found: Values = one(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return found

    before = annotations({"config": CONFIG, "web": {"config": TLS}})
    assert before == annotations({"config": CONFIG, "web": {"config": TLS}, "replicaCount": 2})
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
        assert command == ["python3", "-m", "exporter.cli.healthcheck", f"https://127.0.0.1:10106{path}"]


def test_one_replica_is_replaced_and_several_are_never_more_than_asked_for() -> None:
    """Without a cluster an extra pod during a rollout would use the account's budget twice."""
    assert one(render({"demo": True}), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    several = one(render({"demo": True, "replicaCount": 2}), "Deployment")["spec"]["strategy"]
    assert several["rollingUpdate"]["maxSurge"] == 0


@pytest.mark.parametrize("name", ["cluster", "cluster of an existing secret"])
def test_a_pod_of_a_cluster_stops_only_when_its_successor_is_ready(name: str) -> None:
    """It hands its accounts over, so the two never use the budget twice; also with a single replica."""
    for count in (1, 2):
        deployment = one(render({**VARIANTS[name], "replicaCount": count}), "Deployment")["spec"]
        assert deployment["replicas"] == count
        assert deployment["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }


def test_several_replicas_are_kept_apart_and_stop_one_at_a_time() -> None:
    """On other nodes where there are some, unless the user says where; a drained node waits for the others."""
    for values in ({"demo": True, "replicaCount": 2}, REPLICAS):
        rendered = render(values)
        labels = one(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"]
        budget = one(rendered, "PodDisruptionBudget")["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        affinity = one(rendered, "Deployment")["spec"]["template"]["spec"]["affinity"]
        (rule,) = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert rule["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
        assert rule["podAffinityTerm"]["labelSelector"]["matchLabels"] == budget["selector"]["matchLabels"]
    own = one(render({**REPLICAS, "affinity": {"nodeAffinity": {}}}), "Deployment")
    assert own["spec"]["template"]["spec"]["affinity"] == {"nodeAffinity": {}}
    single = render({"demo": True})
    assert "affinity" not in one(single, "Deployment")["spec"]["template"]["spec"]
    assert "PodDisruptionBudget" not in {manifest["kind"] for manifest in single}


def test_a_cluster_reaches_its_store_and_only_a_cluster_does() -> None:
    def allowed(values: Values) -> set[int]:
        egress = one(render(values), "NetworkPolicy")["spec"]["egress"]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert allowed(REPLICAS) == {53, 443, 6380}
    assert allowed({**REPLICAS, "cluster": {"ports": [6380, 26379]}}) == {53, 443, 6380, 26379}
    assert allowed({"demo": True, "replicaCount": 2}) == {53, 443}


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
    assert "--storage.path=/var/lib/cams-exporter/store" in container(kept)["args"]
    assert "storage" not in str(container(render({"demo": True}))["args"])


def test_the_network_policy_allows_only_dns_and_https_out() -> None:
    policy = one(render({"demo": True}), "NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    ports = {(port["port"], port["protocol"]) for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {(53, "UDP"), (53, "TCP"), (443, "TCP")}
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_the_prometheus_rule_is_the_shipped_rules() -> None:
    """The tests do not cover an outdated copy of the rules."""
    rule = one(render({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert kubernetes.rules_of(rule) == kubernetes.shipped_rules()


def test_prometheus_itself_accepts_the_rules(tmp_path: Path) -> None:
    promtool = system_tool("promtool", "prometheus")
    file = tmp_path / "rules.yml"
    rule = one(render({"demo": True, "prometheusRule": {"enabled": True}}), "PrometheusRule")
    file.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_disabled_alert_is_left_out_and_only_that() -> None:
    values = {"demo": True, "prometheusRule": {"enabled": True, "disabledAlerts": ["CamsExporterDown"]}}
    rules = kubernetes.rules_of(one(render(values), "PrometheusRule"))
    assert rules == [rule for rule in kubernetes.shipped_rules() if rule.get("alert") != "CamsExporterDown"]
    assert len(rules) < len(kubernetes.shipped_rules())


def test_the_dashboards_are_the_shipped_dashboards() -> None:
    data = one(render({"demo": True, "dashboards": {"enabled": True}}), "ConfigMap")["data"]
    shipped = {file.name: file.read_text() for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert {name: yaml.safe_load(text) for name, text in data.items()} == {
        name: yaml.safe_load(text) for name, text in shipped.items()
    }
    assert sum(map(len, data.values())) < 900_000, "a ConfigMap holds 1 MiB"
