"""The `credentials` of an account, type by type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.config import AccountConfig, Config, Secret
from exporter.config.sections.credential_types import TYPES
from tests.support.configs import NUMBER, faults, loaded

ID, SECRET, TOKEN = "LTAI5tExample", "s3cr3t/+=", "CAIS+token=="
ROLE = "acs:ram::1234567890123456:role/cams-reader"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/ack-rrsa"


def account(folder: Path, credentials: str) -> AccountConfig:
    return config(folder, credentials).accounts[0]


def config(folder: Path, credentials: str) -> Config:
    return loaded(folder, text(credentials))


def text(credentials: str) -> str:
    return f"accounts: [{{name: main, credentials: {credentials}, numbers: [{NUMBER}]}}]"


def inline(**secrets: str) -> Mapping[str, Secret]:
    return {key: Secret(value, None) for key, value in secrets.items()}


def test_access_key(tmp_path: Path) -> None:
    key = f'access_key_id: {ID}, access_key_secret: "{SECRET}"'
    given = account(tmp_path, f"{{type: access_key, {key}}}").credentials
    assert given.type == "access_key"
    assert given.secrets == inline(access_key_id=ID, access_key_secret=SECRET)
    assert given.options == {}


def test_sts_from_files(tmp_path: Path) -> None:
    """Each secret may be in a file; the file is checked, not read: its content may change at any time."""
    keys = ("access_key_id", "access_key_secret", "security_token")
    for key in keys:
        (tmp_path / key).write_text("in a file")
    files = ", ".join(f"{key}_file: {tmp_path / key}" for key in keys)
    given = account(tmp_path, f"{{type: sts, {files}}}").credentials
    assert given.secrets == {key: Secret(None, tmp_path / key) for key in keys}


def test_ram_role_arn_with_every_option(tmp_path: Path) -> None:
    given = account(
        tmp_path,
        f"""{{type: ram_role_arn,
          access_key_id: {ID}, access_key_secret: "{SECRET}", security_token: "{TOKEN}",
          role_arn: "{ROLE}", role_session_name: cams@exporter-1, role_session_expiration: 1h30m,
          policy: '{{"Version": "1", "Statement": []}}', external_id: a/b,
          sts_endpoint: "sts.eu-central-1.aliyuncs.com:443"}}""",
    ).credentials
    assert given.secrets == inline(access_key_id=ID, access_key_secret=SECRET, security_token=TOKEN)
    assert given.options == {
        "role_arn": ROLE,
        "role_session_name": "cams@exporter-1",
        "role_session_expiration": 5400,
        "policy": '{"Version": "1", "Statement": []}',
        "sts_endpoint": "sts.eu-central-1.aliyuncs.com:443",
        "external_id": "a/b",
    }
    assert type(given.options["role_session_expiration"]) is int


def test_ram_role_arn_with_the_least(tmp_path: Path) -> None:
    key = f'access_key_id: {ID}, access_key_secret: "{SECRET}"'
    given = account(tmp_path, f'{{type: ram_role_arn, {key}, role_arn: "{ROLE}"}}').credentials
    assert given.secrets == inline(access_key_id=ID, access_key_secret=SECRET)
    assert given.options == {"role_arn": ROLE}


def test_ecs_ram_role(tmp_path: Path) -> None:
    assert account(tmp_path, "{type: ecs_ram_role}").credentials.options == {}
    given = account(tmp_path, "{type: ecs_ram_role, role_name: reader, disable_imds_v1: true}").credentials
    assert given.options == {"role_name": "reader", "disable_imds_v1": True}
    given = account(tmp_path, "{type: ecs_ram_role, disable_imds_v1: false}").credentials
    assert given.options == {"disable_imds_v1": False}


def test_oidc_role_arn(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    role = f'role_arn: "{ROLE}", oidc_provider_arn: "{PROVIDER}"'
    given = account(tmp_path, f"{{type: oidc_role_arn, {role}, oidc_token_file_path: token}}").credentials
    assert given.secrets == {}
    token = str(tmp_path / "token")
    assert given.options == {"role_arn": ROLE, "oidc_provider_arn": PROVIDER, "oidc_token_file_path": token}


def test_rsa_key_pair(tmp_path: Path) -> None:
    (tmp_path / "private.pem").write_text("k")
    keys = (
        "public_key_id: TMPK.x, private_key_file: private.pem, role_session_expiration: 1h, sts_endpoint: sts.example"
    )
    given = account(tmp_path, f"{{type: rsa_key_pair, {keys}}}").credentials
    assert given.secrets == {}
    assert given.options == {
        "public_key_id": "TMPK.x",
        "private_key_file": str(tmp_path / "private.pem"),
        "role_session_expiration": 3600,
        "sts_endpoint": "sts.example",
    }


def test_two_key_pairs_may_be_of_two_accounts(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    accounts = ", ".join(
        f"{{name: {name}, qps: 9, numbers: [{NUMBER}], "
        f"credentials: {{type: rsa_key_pair, public_key_id: {name}, private_key_file: key}}}}"
        for name in ("a", "b")
    )
    assert loaded(tmp_path, f"accounts: [{accounts}]").warnings == ()


def test_a_bearer_token_is_refused_with_the_reason(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, text("{type: bearer}"))
    assert "credentials.type: bearer signs no request, and CAMS needs a signature; write one of access_key" in fault


@pytest.mark.parametrize("uri", ["http://127.0.0.1:7001/c?a=b", "http://localhost/", "https://example.com/x"])
def test_credentials_uri(tmp_path: Path, uri: str) -> None:
    read = config(tmp_path, f'{{type: credentials_uri, credentials_uri: "{uri}"}}')
    assert read.accounts[0].credentials.options == {"credentials_uri": uri}
    assert read.warnings == ()


def test_credentials_in_clear_text_are_warned_about(tmp_path: Path) -> None:
    read = config(tmp_path, "{type: credentials_uri, credentials_uri: 'http://keys.example.com/x'}")
    (warning,) = read.warnings
    assert warning == (
        f"{read.path}:1: accounts[0].credentials.credentials_uri: "
        "brings credentials over the network in clear text; write https"
    )


def test_type_default_equals_no_credentials_section(tmp_path: Path) -> None:
    absent = loaded(tmp_path, f"accounts: [{{name: main, numbers: [{NUMBER}]}}]").accounts[0]
    assert account(tmp_path, "{type: default}").credentials == absent.credentials


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_key_of_another_type_is_refused(tmp_path: Path, kind: str) -> None:
    """The library would ignore it silently."""
    foreign = {key for other in TYPES.values() for key in other.takes()} - TYPES[kind].takes()
    assert foreign
    said = faults(tmp_path, text(f"{{type: {kind}, {', '.join(f'{key}: x' for key in sorted(foreign))}}}"))
    cure = f"has no effect with type: {kind}; remove it, or write the type it belongs to"
    wanted = {f"1: accounts[0].credentials.{key}: {cure}" for key in foreign}
    assert wanted <= set(said)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_missing_key_is_named(tmp_path: Path, kind: str) -> None:
    needed = TYPES[kind].needs
    if not needed:
        assert account(tmp_path, f"{{type: {kind}}}").credentials.type == kind
        return
    said = faults(tmp_path, text(f"{{type: {kind}}}"))
    assert [line.split(": ")[1] for line in said] == [f"accounts[0].credentials.{key}" for key in needed]
    assert all("is missing; write " in line for line in said)


@pytest.mark.parametrize(
    "secret",
    [
        "123456789",
        "0x5ec4e7",
        "true",
        "[5ec4e7]",
        "{a: 5ec4e7}",
        '"5ec4e7 "',
        '"5ec4e7\\n"',
        '"5ec4e7é"',
        "2024-01-01",
    ],
)
def test_a_refused_secret_is_not_shown(tmp_path: Path, secret: str) -> None:
    (said,) = faults(tmp_path, text(f"{{type: access_key, access_key_id: a, access_key_secret: {secret}}}"))
    assert said.startswith("1: accounts[0].credentials.access_key_secret: ")
    assert not [part for part in ("123456789", "5ec4e7", "true", "2024") if part in said]


@pytest.mark.parametrize("policy", ["[" * 2000, "{", '"a"', "null", "{}" + " " * 2048])
def test_a_policy_is_a_json_object(tmp_path: Path, policy: str) -> None:
    key = f'access_key_id: {ID}, access_key_secret: "{SECRET}", role_arn: "{ROLE}"'
    (said,) = faults(tmp_path, text(f"{{type: ram_role_arn, {key}, policy: '{policy}'}}"))
    cure = "write a JSON object of at most 2048 characters, quoted"
    assert said == f"1: accounts[0].credentials.policy: is not a RAM policy; {cure}"


@pytest.mark.parametrize("host", ["sts.aliyuncs.com:99999", "a b", "sts.aliyuncs.com/", "me@sts.example", ""])
def test_an_sts_endpoint_is_a_host(tmp_path: Path, host: str) -> None:
    key = f'access_key_id: {ID}, access_key_secret: "{SECRET}", role_arn: "{ROLE}"'
    (said,) = faults(tmp_path, text(f'{{type: ram_role_arn, {key}, sts_endpoint: "{host}"}}'))
    cure = "write HOST or HOST:PORT, without https:// before it"
    assert said == f"1: accounts[0].credentials.sts_endpoint: is not a host; {cure}"
