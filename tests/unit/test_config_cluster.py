"""The section `cluster`: what it means, what is refused with which cure, and what the check says of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import trustme

from exporter.config import load, plan, read
from exporter.config.settings import ClusterConfig, Secret
from tests.support.configs import ACCOUNT, ACCOUNTS, ANOTHER, NUMBER, faults, loaded

EXAMPLE = Path(__file__).parents[2] / "config.example.yml"
LOCAL = "url: redis://127.0.0.1, replicas: 3"


def cluster(folder: Path, section: str, accounts: str = ACCOUNTS) -> ClusterConfig:
    config = loaded(folder, f"cluster: {{{section}}}\n{accounts}")
    assert config.cluster is not None
    return config.cluster


def refused(folder: Path, section: str) -> list[str]:
    """The faults of a section, without line and path."""
    return [fault.removeprefix("1: cluster.") for fault in faults(folder, f"cluster: {{{section}}}\n{ACCOUNTS}")]


def test_without_the_section_there_is_no_cluster(tmp_path: Path) -> None:
    assert loaded(tmp_path, ACCOUNTS).cluster is None


def test_defaults(tmp_path: Path) -> None:
    assert cluster(tmp_path, LOCAL) == ClusterConfig(
        replicas=3, url="redis://127.0.0.1", lease_seconds=15, key_prefix="cams-exporter"
    )


def test_the_commented_section_of_the_example_is_valid(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    found = re.search(r"(?m)^# cluster:\n(?:#   .*\n)+", text)
    assert found is not None
    (tmp_path / "config.yml").write_text(re.sub("(?m)^# ", "", found[0]) + ACCOUNTS)
    config = read(tmp_path / "config.yml", files=False).config
    assert config is not None
    assert config.cluster == ClusterConfig(
        replicas=3,
        url="rediss://valkey.example.com:6379/0",
        tls=True,
        username="cams",
        password=Secret(None, Path("/run/secrets/valkey-password")),
    )


@pytest.mark.parametrize(
    "place",
    [
        "url: redis://localhost:6379/1",
        "url: 'redis://[::1]:6379'",
        "url: 'unix:///run/valkey.sock?db=2'",
        "url: redis://valkey.example.com, allow_plaintext: true",
        "sentinels: ['127.0.0.1:26379'], master_name: cams",
        "sentinels: ['a:1', b], master_name: cams, tls: true",
        "sentinels: ['a:1'], master_name: cams, allow_plaintext: true",
    ],
)
def test_a_place_that_is_accepted(tmp_path: Path, place: str) -> None:
    assert cluster(tmp_path, f"{place}, replicas: 3").replicas == 3


CLEAR = "the password and the numbers would travel in clear text; write"
FORMS = "write rediss://HOST:PORT/0, unix:///PATH, or sentinels and master_name instead"
OR_ALLOW = ", or allow_plaintext: true in a network that you trust"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            "replicas: 3",
            [f"url: is missing; {FORMS}"],
        ),
        (
            "url: redis://127.0.0.1",
            ["replicas: is missing; write how many there are at most, with those that a rollout adds"],
        ),
        ("url: redis://valkey.example.com, replicas: 3", [f"url: {CLEAR} rediss://{OR_ALLOW}"]),
        (
            "sentinels: [a], master_name: cams, replicas: 3",
            [f"sentinels: {CLEAR} tls: true{OR_ALLOW}"],
        ),
        (
            "sentinels: ['127.0.0.1'], replicas: 3",
            ["sentinels: need master_name; write the name that the Sentinels give to the store"],
        ),
        (
            f"{LOCAL}, master_name: cams",
            ["master_name: has no effect without sentinels; remove it, or write sentinels"],
        ),
        (f"{LOCAL}, tls: true", ["tls: has no effect without sentinels; write rediss:// in url for TLS"]),
        (
            "url: 'redis://127.0.0.1?password=x', replicas: 3",
            ["url: has more than host, port and database; write redis://127.0.0.1/0"],
        ),
        (
            "url: 'http://127.0.0.1', replicas: 3",
            [f"url: is not the URL of a store; {FORMS}"],
        ),
        (
            "url: 'unix://run/valkey.sock', replicas: 3",
            ["url: is not the address of a unix socket; write unix:///PATH, with ?db=1 for database 1"],
        ),
        (
            "url: redis://localhost, replicas: 0",
            ["replicas: 0 is out of range; write a whole number from 1 to 100"],
        ),
        (f"{LOCAL}, lease: 2s", ['lease: "2s" is out of range; write 3s to 5m']),
        (f"{LOCAL}, lease: 6m", ['lease: "6m" is out of range; write 3s to 5m']),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, section: str, said: list[str]) -> None:
    assert refused(tmp_path, section) == said


def test_files_of_tls_need_tls_and_each_other(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    cert = ca.issue_cert("replica.example")
    cert.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    cert.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    tls = "url: rediss://valkey.example.com, replicas: 3"
    files = "cert_file: cert.pem, key_file: key.pem"
    assert cluster(tmp_path, f"{tls}, ca_file: ca.pem, {files}").key_file == tmp_path / "key.pem"
    assert refused(tmp_path, f"{tls}, cert_file: cert.pem") == ["cert_file: needs key_file too; write both, or none"]
    assert refused(tmp_path, f"{tls}, cert_file: ca.pem, key_file: key.pem") == [
        "cert_file: is no certificate in PEM form for key_file, without a password; name a pair"
    ]
    assert refused(tmp_path, f"{LOCAL}, ca_file: ca.pem") == [
        "ca_file: has no effect without TLS; write rediss:// in url, or tls: true with sentinels"
    ]


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("one\ntwo-secret\n")
    said = refused(tmp_path, f"{LOCAL}, password_file: password")
    assert said == ["password_file: holds more than one line of at most 1024 characters; write the password alone"]
    assert "secret" not in repr(cluster(tmp_path, f"{LOCAL}, password: a secret"))


def test_a_missing_library_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    assert faults(tmp_path, f"cluster: {{{LOCAL}}}\n{ACCOUNTS}") == [
        "1: cluster: needs a library that is not installed; run: pip install 'cams-exporter[cluster]'"
    ]
    assert read(tmp_path / "config.yml", files=False).error is None  # CI need not have it
    assert loaded(tmp_path, ACCOUNTS).cluster is None


def test_the_check_says_the_rate_without_the_store(tmp_path: Path) -> None:
    two = f"accounts: [{ACCOUNT}, {{name: other, qps: 8, numbers: [{NUMBER}]}}]"
    config = loaded(tmp_path, f"cluster: {{{LOCAL}, lease: 10s}}\n{two}")
    said = plan(config)
    assert "cluster: at most 3 replicas, a lease of 10s" in said
    assert re.search(r"(?m)^main +1/s +1s$", said)
    assert re.search(r"(?m)^other +0/s +never$", said)
    (warning,) = [each for each in config.warnings if "while the store is away" in each]
    assert warning.endswith(
        'cluster: account "other" will not be polled while the store is away: quota less qps leaves 2/s for 3 '
        "replicas, not 1/s for each; write qps: 7 or less"
    )


def test_accounts_that_share_a_quota_are_warned_of_their_rates_without_the_store(tmp_path: Path) -> None:
    accounts = f"accounts: [{ACCOUNT[:-1]}, qps: 3}}, {{name: other, qps: 3, numbers: [{ANOTHER}]}}]"
    (warning,) = loaded(tmp_path, f"cluster: {{{LOCAL}}}\n{accounts}").warnings
    assert warning.endswith(
        'accounts[1].credentials: are of the same Alibaba Cloud account as those of account "main": while the store is '
        "away they may spend 18 requests per second of one quota of 10; "
        "merge the accounts, or write without_store: stop"
    )
    assert loaded(tmp_path, f"cluster: {{{LOCAL}, without_store: stop}}\n{accounts}").warnings == ()
    assert loaded(tmp_path, accounts).warnings == ()


def test_who_stops_without_the_store_is_not_warned(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"cluster: {{{LOCAL}, without_store: stop}}\naccounts: [{ACCOUNT[:-1]}, qps: 10}}]")
    assert config.warnings == ()
    assert "while the store is away nothing is polled (without_store: stop)" in plan(config)
    assert load(tmp_path / "config.yml").cluster == config.cluster
