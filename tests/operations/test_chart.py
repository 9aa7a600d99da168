"""The whole Helm chart: what it accepts and refuses, and that each set of values gives valid manifests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError

import exporter
from tests.operations import manifests as kubernetes
from tests.operations.chart import (
    CHART,
    CLUSTER,
    CONFIG,
    EVERYTHING,
    HASH,
    MUTUAL,
    RELATIVE,
    REPLICAS,
    TLS,
    VARIANTS,
    Values,
    notes,
    render,
)
from tests.operations.manifests import container, one
from tests.operations.pod import Files, check_configuration


@pytest.fixture(params=list(VARIANTS.values()), ids=list(VARIANTS))
def values(request: pytest.FixtureRequest) -> Values:
    chosen: Values = request.param
    return chosen


@pytest.fixture(scope="module")
def given() -> dict[str, Files]:
    """The Secrets that the variants name, but do not make."""
    authority = trustme.CA()
    certificate = authority.issue_cert("exporter.example")
    tls = {
        "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
        "tls.key": certificate.private_key_pem.bytes().decode(),
        "ca.crt": authority.cert_pem.bytes().decode(),
    }
    return {
        "mine": {"config.yml": yaml.safe_dump(CONFIG)},
        "cluster": {"config.yml": yaml.safe_dump(CLUSTER)},
        "valkey": {"password": "s3cr3t"},
        "tls": tls,
        "key": {"hash.key": "0" * 32},
        "web": {"w.yml": yaml.safe_dump(RELATIVE), **tls},
    }


def with_store(**place: object) -> Values:
    """Replicas that find their store there."""
    cluster = {key: value for key, value in CLUSTER["cluster"].items() if key != "url"}
    return {**REPLICAS, "config": {**CLUSTER, "cluster": {**cluster, **place}}}


def test_helm_lint_finds_nothing() -> None:
    report = lint(CHART, EVERYTHING, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_the_chart_has_the_version_of_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == exporter.__version__
    assert container(render({"demo": True}))["image"] == f"cams-exporter:{exporter.__version__}"


def test_the_chart_asks_for_the_oldest_kubernetes_it_is_checked_against() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["kubeVersion"] == f">={kubernetes.KUBERNETES_VERSIONS[0]}-0"


def test_without_a_configuration_it_says_what_to_set() -> None:
    """A release that cannot work must fail at its installation."""
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
        ({"demo": True, "replicaCount": 2, "storage": {"enabled": True}}, "one replica"),
        ({**REPLICAS, "replicaCount": 1, "storage": {"enabled": True}}, "a rollout of a cluster runs two"),
        ({**REPLICAS, "replicaCount": 3}, "config.cluster.replicas must be 4 or more"),
        ({"demo": True, "cluster": {"enabled": True}}, "needs the section cluster in config"),
        ({"config": CONFIG, "cluster": {"enabled": True}}, "needs the section cluster in config"),
        ({**REPLICAS, "cluster": {}}, "does not open port 6380"),
        (with_store(url="redis://valkey"), "does not open port 6379"),
        (with_store(sentinels=["a.example:6380", "b.example"]), "does not open port 26379"),
        ({"demo": True, "ingress": {"enabled": True}}, "needs a name in ingress.hosts"),
        ({"demo": True, "httpRoute": {"enabled": True}}, "needs a Gateway in httpRoute.parentRefs"),
        (
            {"demo": True, "extraVolumeMounts": [{"name": "a", "mountPath": "/a"}]},
            "names a, which is not in extraVolumes",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_reason(wrong: Values, reason: str) -> None:
    with pytest.raises(HelmRenderError, match=re.escape(reason)):
        render(wrong)


@pytest.mark.parametrize(
    "place",
    [
        {"url": "rediss://valkey.example:6380"},
        {"url": "rediss://[2001:db8::1]:6380/0"},
        {"url": "unix:///run/valkey.sock"},
        {"url": "rediss://valkey.example:443/0"},
        {"sentinels": ["a.example:6380", "[2001:db8::1]:6380"]},
    ],
)
def test_a_store_whose_port_is_open_is_accepted(place: Values) -> None:
    render(with_store(**place))


@pytest.mark.parametrize("policy", [{"enabled": False}, {"extraEgress": [{"ports": [{"port": 7000}]}]}])
def test_ports_are_not_judged_where_the_policy_is_the_users_own(policy: Values) -> None:
    render({**with_store(url="rediss://valkey.example:7000"), "networkPolicy": policy})


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
        ({"demo": True, "replicaCount": 1.5}, "replicaCount"),
        ({"demo": True, "cluster": {"ports": []}}, "ports"),
        ({"config": {**CLUSTER, "cluster": {"url": "redis://a"}}}, "replicas"),
        ({"demo": True, "log": {"level": "warning"}}, "level"),
        ({"demo": True, "extraArgs": ["demo"]}, "extraArgs"),
        ({"demo": True, "serviceMonitor": {"interval": 30}}, "interval"),
        ({"demo": True, "web": {"tls": "yes"}}, "tls"),
        ({"demo": True, "podSecurityContext": {"runAsNonRoot": False}}, "runAsNonRoot"),
        ({"demo": True, "podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"demo": True, "extraVolumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"demo": True, "extraVolumes": [{"name": "state", "emptyDir": {}}]}, "name"),
        ({"demo": True, "extraVolumeMounts": [{"name": "a", "mountPath": "a"}]}, "mountPath"),
        ({"demo": True, "ingress": {"hosts": ["https://cams.example.org/"]}}, "hosts"),
        (with_number(8613800001234), "phone_number"),
        (with_number("+86 138"), "phone_number"),
    ],
)
def test_the_schema_refuses_what_cannot_be_meant(wrong: Values, key: str) -> None:
    """Above all an unquoted phone number: Helm reads it as a float and would write 8.613800001234e+12."""
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


def test_every_variant_holds_a_configuration_that_the_exporter_accepts(
    values: Values, given: dict[str, Files], tmp_path: Path
) -> None:
    """With its own flags, over the mounted files: a certificate without a Secret is a fault."""
    done = check_configuration(render(values), tmp_path, given)
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_mounted_nowhere_is_noticed(given: dict[str, Files], tmp_path: Path) -> None:
    """Checks the test above."""
    done = check_configuration(render({"config": CONFIG, "web": {"config": TLS}}), tmp_path, given)
    assert done.returncode == 2
    assert "/run/secrets/tls/tls.crt" in done.stderr


def test_the_user_is_the_images_own_unless_the_cluster_gives_one() -> None:
    """OpenShift refuses a pod that asks for a number outside the range of its namespace."""

    def context(values: Values) -> Values:
        found: Values = one(render(values), "Deployment")["spec"]["template"]["spec"]["securityContext"]
        return found

    assert context({"demo": True})["runAsUser"] == 65532
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & context(VARIANTS["openshift"]).keys()


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


def test_the_notes_say_how_to_reach_and_reload_it() -> None:
    said = notes({"existingSecret": "mine", "web": {"config": TLS, "enableLifecycle": True}})
    assert "curl --insecure https://127.0.0.1:10106/metrics" in said
    guarded = notes({"config": CONFIG, "web": {"config": MUTUAL}})
    assert "curl --user NAME --cert CLIENT.pem --insecure https://" in guarded
    assert "SIGHUP" in said
    assert "/-/reload" in said
    assert "simulated" in notes({"demo": True})
    assert "divided by 2" in notes({"demo": True, "replicaCount": 2})
    shared = notes(VARIANTS["cluster of an existing secret"])
    assert "share the configured qps" in shared
    assert "cluster.replicas must be 3 or more" in shared
    assert "divided" not in shared


def test_the_notes_warn_of_pages_that_everybody_can_read() -> None:
    outside: Values = {"demo": True, "ingress": {"enabled": True, "hosts": ["a.example.org"]}}
    warning = "without a password"
    assert warning in notes(outside)
    assert warning in notes({"demo": True, "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}})
    assert warning not in notes({**outside, "web": {"config": {"basic_auth_users": {"a": HASH}}}})
    assert warning not in notes({"demo": True})


def test_an_account_may_find_its_numbers_and_type_none() -> None:
    render({"config": {"accounts": [{"name": "a", "discover": {}}]}})


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
