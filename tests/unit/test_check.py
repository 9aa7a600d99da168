"""--config.check reports exactly the faults of a start and its first poll, all at once."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.app import App
from exporter.cams.credentials.key_files import KeyFiles
from exporter.cli.check import check
from exporter.config import load, read
from exporter.config.loader import ACCOUNT_KEYS, API_KEYS, CONFIG_KEYS
from exporter.config.numbers import NUMBER_KEYS
from exporter.config.sections.cluster import CLUSTER_KEYS
from exporter.config.sections.credential_types import CREDENTIALS_KEYS
from exporter.config.sections.discovery import DISCOVER_KEYS, HEALTH_KEYS
from exporter.errors import ConfigError, CredentialsError
from tests.support.clock import FakeClock
from tests.support.configs import ACCOUNTS, NUMBER, written

INVALID = sorted((Path(__file__).parents[1] / "data" / "config" / "invalid").glob("*.yml"))
ENVIRONMENT = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
KEY = "ALIBABA_CLOUD_ACCESS_KEY"
KEY_FILE = "_file: "


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*ENVIRONMENT, f"{KEY}_ID", f"{KEY}_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def checked(path: Path, *, syntax_only: bool = False, web: Path | None = None) -> list[str]:
    """The faults that the check finds."""
    try:
        check(read(path, files=not syntax_only), web, syntax_only=syntax_only)
    except ConfigError as error:
        return list(error.faults)
    return []


def started(path: Path) -> list[str]:
    """The faults of a start with this file, or of the first poll of one of its accounts."""
    try:
        config = load(path)
        App(config, FakeClock(), version="0", revision="0", about_exporter=False).stop()
    except ConfigError as error:
        return list(error.faults)
    faults = []
    for account in config.accounts:
        try:
            KeyFiles(account.credentials.secrets, FakeClock(), account.name).values()
        except CredentialsError as error:
            faults.append(str(error))
    return faults


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_file_that_a_start_refuses_the_check_refuses_in_the_same_words(path: Path) -> None:
    assert checked(path) == started(path) != []


def holding(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


FILES: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a circle": lambda path: path.symlink_to(path),
    "empty": holding(""),
    "blank": holding("\n"),
    "two lines": holding("LTAI5t\ns3cr3t\n"),
    "in quotes": holding('"s3cr3t"'),
    "the console's CSV": holding("AccessKey ID,AccessKey Secret\r\nLTAI5t,s3cr3t\r\n"),
    "ID and secret": holding("LTAI5t,s3cr3t"),
    "a placeholder": holding("<secret>"),
    "a variable": holding("${SECRET}"),
    "UTF-16": holding("s3cr3t".encode("utf-16")),
    "a space": holding("s3 cr3t"),
    "huge": holding("x1" * 50_000),
    "good": holding("s3cr3t"),
    "good, with a mark and a line's end": holding("\ufeffs3cr3t\r\n"),
}
TYPES = {
    "access_key": "type: access_key, access_key_id: i, access_key_secret_file: key",
    "sts": "type: sts, access_key_id: i, access_key_secret: s, security_token_file: key",
    "ram_role_arn": "type: ram_role_arn, access_key_id: i, access_key_secret_file: key, role_arn: 'acs:ram::1:role/r'",
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("content", FILES)
def test_a_key_file_is_of_use_to_the_check_where_it_is_to_the_first_poll(
    tmp_path: Path, kind: str, content: str
) -> None:
    FILES[content](tmp_path / "key")
    path = written(tmp_path, f"accounts:\n- name: main\n  credentials: {{{TYPES[kind]}}}\n  numbers: [{NUMBER}]\n")
    said, why = checked(path), started(path)
    assert bool(said) == bool(why) == (not content.startswith("good"))
    for fault, reason in zip(said, why, strict=True):
        assert fault.startswith(f"{path}:3: accounts[0].credentials.")
        assert reason.partition(": ")[2] in fault  # the same words; the check may add how to fix a misplaced secret
        assert "; " in fault
        assert "cr3t" not in fault + reason
    assert checked(path, syntax_only=True) == []


EVERYTHING: dict[str, Any] = {
    "scrape_interval": "60s",
    "stale_after": "15m",
    "phone_number_label": "hashed",
    "phone_number_hash_key_file": "key",
    "api": {"endpoint": "https://cams.example.com", "timeout": "10s", "ca_file": "ca.pem", "proxy": "http://p:1"},
    "cluster": {
        "url": "rediss://valkey.example.com:6379/0",
        "allow_plaintext": False,
        "username": "cams",
        "password_file": "key",
        "ca_file": "ca.pem",
        "lease": "15s",
        "replicas": 3,
        "key_prefix": "cams-exporter",
        "without_store": "poll",
    },
    "accounts": [
        {
            "name": "one",
            "qps": 1,
            "quota": 10,
            "scrape_interval": "2m",
            "stale_after": "1h",
            "api": {
                "endpoint": "https://cams.example.com",
                "timeout": "1s",
                "ca_file": "ca.pem",
                "proxy": "http://p:1",
            },
            "credentials": {"type": "access_key", "access_key_id": "i", "access_key_secret_file": "key"},
            "numbers": [{"phone_number": "86138001", "cust_space_id": "c", "name": "n", "labels": {"team": "care"}}],
        },
        {
            "name": "two",
            "credentials": {
                "type": "ram_role_arn",
                "access_key_id_file": "key",
                "access_key_secret": "s",
                "security_token_file": "key",
                "role_arn": "acs:ram::1:role/r",
                "role_session_name": "name",
                "role_session_expiration": "1h",
                "external_id": "word",
                "policy": "{}",
                "sts_endpoint": "sts.example.com",
            },
            "numbers": [{"phone_number": "86138002", "cust_space_id": "c"}],
        },
        {
            "name": "three",
            "credentials": {
                "type": "oidc_role_arn",
                "role_arn": "acs:ram::2:role/r",
                "oidc_provider_arn": "acs:ram::2:oidc-provider/p",
                "oidc_token_file_path": "key",
            },
            "numbers": [{"phone_number": "86138003", "cust_space_id": "c"}],
        },
        {
            "name": "four",
            "credentials": {"type": "ecs_ram_role", "role_name": "r", "disable_imds_v1": True},
            "numbers": [{"phone_number": "86138004", "cust_space_id": "c"}],
        },
        {
            "name": "five",
            "credentials": {"type": "credentials_uri", "credentials_uri": "http://127.0.0.1:1/"},
            "number_files": ["list.csv"],
            "label_columns": ["team"],
        },
        {
            "name": "seven",
            "credentials": {"type": "rsa_key_pair", "public_key_id": "LTAI5t", "private_key_file": "key"},
            "numbers": [{"phone_number": "86138007", "cust_space_id": "c"}],
        },
        {
            "name": "six",
            "discover": {
                "spaces": ["c"],
                "refresh_interval": "5m",
                "exclude": ["+86138006"],
                "max_numbers": 100,
                "forget_after": "1d",
            },
            "health": {"interval": "5m"},
        },
    ],
}
"""All keys (except those that exclude these), with valid values."""

WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, "", " ", "x", "two\nlines", "<x>", "${X}", "YourX", "nowhere", "empty", "blank", "."),
    *([], ["x"], {}, {"x": "x"}, "csv", "/", "~", "é", "\u200b", "1", "10s", "86138001"),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each value of a configuration, by its path."""
    for step, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, step)
        yield from places(value, (*path, step))


def test_the_configuration_with_everything_has_every_key() -> None:
    steps = {step for path in places(EVERYTHING) for step in path}
    others = {"phone_number_hash_key", "access_key_id", "access_key_secret_file", "access_key_secret", "security_token"}
    others |= {"sentinels", "master_name", "tls", "password", "cert_file", "key_file"}
    keys = {*CONFIG_KEYS, *API_KEYS, *ACCOUNT_KEYS, *NUMBER_KEYS, *CREDENTIALS_KEYS, *DISCOVER_KEYS, *HEALTH_KEYS}
    keys |= {*CLUSTER_KEYS}
    assert keys - steps <= others


@pytest.mark.parametrize("place", list(places(EVERYTHING)), ids=lambda place: ".".join(map(str, place)))
def test_for_any_fault_of_a_key_the_check_and_a_start_have_the_same_text(
    tmp_path: Path, place: tuple[Any, ...]
) -> None:
    """Every key, with every kind of wrong value and of file."""
    for name, content in (("key", "a-key-of-some-length"), ("empty", ""), ("blank", "\n"), ("csv", "LTAI5t,s3cr3t")):
        (tmp_path / name).write_text(content)
    (tmp_path / "list.csv").write_text("phone_number,cust_space_id,team\n86138005,c,care\n")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    path = tmp_path / "config.yml"
    valid = copy.deepcopy(EVERYTHING)
    if place[:1] == ("accounts",) and len(place) > 1:  # beside the first account the others only take time
        valid["accounts"] = [valid["accounts"][i] for i in sorted({0, place[1]})]
        place = ("accounts", min(place[1], 1), *place[2:])
    path.write_text(json.dumps(valid))
    assert checked(path) == started(path) == []
    refused = 0
    for value in WRONG:
        changed = copy.deepcopy(valid)
        node: Any = changed
        for step in place[:-1]:
            node = node[step]
        node[place[-1]] = value
        path.write_text(json.dumps(changed))
        said, why = checked(path), started(path)
        is_key = len(said) == len(why) and all(KEY_FILE in fault for fault in said)  # each place has its own words
        is_for_later = place[-1] in {"oidc_token_file_path", "private_key_file"}  # the library reads them
        assert said == why or is_key or is_for_later, value
        files = (f"{path}:1: ", f"{tmp_path}/list.csv:1: ")
        assert all(fault.startswith(files) and "; " in fault for fault in said), said
        refused += bool(said)
    assert refused >= len(WRONG) / 3 or place[-1] in {"labels", "team", "name"}


@pytest.mark.parametrize(
    ("variable", "value", "is_of_use"),
    [
        ("HTTPS_PROXY", "socks5://u:canary@proxy:1080", False),
        ("HTTPS_PROXY", "ftp://proxy:1080", False),
        ("HTTPS_PROXY", "http://u:canary@proxy:3128", True),
        ("ALL_PROXY", "socks5h://u:canary@proxy:1080", False),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", False),
        ("REQUESTS_CA_BUNDLE", __file__, False),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", False),
    ],
)
def test_the_environment_counts_for_the_check_as_for_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, is_of_use: bool
) -> None:
    path = written(tmp_path, ACCOUNTS)
    monkeypatch.setenv(variable, value)
    assert checked(path) == started(path)
    assert is_of_use == (checked(path) == [])
    assert all(fault.startswith(f"{variable}: ") and "; " in fault and "canary" not in fault for fault in checked(path))
    assert checked(path, syntax_only=True) == []


def test_a_proxy_of_no_use_to_sts_is_a_fault_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("NO_PROXY", "cams.ap-southeast-1.aliyuncs.com")
    assert checked(written(tmp_path, ACCOUNTS)) == []
    (tmp_path / "key").write_text("s3cr3t")
    path = written(
        tmp_path, f"accounts: [{{name: main, credentials: {{{TYPES['ram_role_arn']}}}, numbers: [{NUMBER}]}}]"
    )
    (fault,) = checked(path)
    assert "add sts.aliyuncs.com to NO_PROXY" in fault


@pytest.mark.parametrize("value", ["YourAccessKeyId", "LTAI5t,s3cr3t", '"LTAI5t"', "<id>", "LTAI5t\n"])
def test_an_invalid_key_in_the_environment_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """If an account uses the default chain.  The API would answer that the key is unknown."""
    monkeypatch.setenv(f"{KEY}_ID", value)
    (fault,) = checked(written(tmp_path, ACCOUNTS))
    assert fault.startswith(f"{KEY}_ID: ")
    monkeypatch.setenv(f"{KEY}_ID", "")  # like a missing one: the chain continues
    assert checked(written(tmp_path, ACCOUNTS)) == []
    monkeypatch.setenv(f"{KEY}_ID", value)
    key = "credentials: {type: access_key, access_key_id: i, access_key_secret: s}"
    assert checked(written(tmp_path, f"accounts: [{{name: main, {key}, numbers: [{NUMBER}]}}]")) == []


def test_all_faults_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the configuration, its key files, the environment and the web configuration."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users: {prometheus: plain}")
    key = "credentials: {type: access_key, access_key_id: i, access_key_secret_file: key}"
    path = written(tmp_path, f"accounts:\n- name: main\n  {key}\n  qps: 0\n  numbers: [{NUMBER}]")
    assert [fault.split(": ")[0] for fault in checked(path, web=web)] == [
        f"{path}:3",
        f"{path}:4",
        "REQUESTS_CA_BUNDLE",
        "HTTPS_PROXY",
        f"{web}:1",
    ]


def test_syntax_only_looks_at_no_certificate(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    path = written(tmp_path, ACCOUNTS)
    assert len(checked(path, web=web)) == 2
    said = check(read(path, files=False), web, syntax_only=True)
    assert f"{web}: valid: TLS, no users" in said
    web.write_text("tls_server_config:")
    said = check(read(path, files=False), web, syntax_only=True)
    assert f"{web}: valid: no TLS, no users, no rate limit\nwarning: {web}:1: tls_server_config: is empty" in said
    assert "not looked at: key," in said
    web.write_text("tls_server_config: {cert_file: server.crt}")
    (fault,) = checked(path, web=web, syntax_only=True)
    assert "missing one of key or key_file" in fault
