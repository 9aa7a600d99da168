"""No message about a configuration file, nor the page ``/config``, shows a secret of it, at any place in the file."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cams.credentials.key_files import KeyFiles
from exporter.cli.check import check
from exporter.config import Config, read
from exporter.errors import ConfigError, CredentialsError
from exporter.web.security.config import load_web_config
from tests.support.clock import FakeClock

NUMBERS = [{"phone_number": "8613800001234", "cust_space_id": "cams-1"}]
KEY = {"type": "access_key", "access_key_id": "LTAI5t", "access_key_secret": "s3cr3t"}
ROLE = {
    **KEY,
    "type": "ram_role_arn",
    "security_token": "t0ken",
    "role_arn": "acs:ram::1:role/r",
    "role_session_name": "name",
    "role_session_expiration": "1h",
    "external_id": "shared-word",
    "policy": "{}",
    "sts_endpoint": "sts.example.com",
}
OIDC = {
    "type": "oidc_role_arn",
    "role_arn": "acs:ram::1:role/r",
    "oidc_provider_arn": "acs:ram::1:oidc-provider/p",
    "oidc_token_file_path": "token",
}
FILES = {
    "type": "sts",
    "access_key_id_file": "id",
    "access_key_secret_file": "secret",
    "security_token_file": "token",
}
CREDENTIALS: tuple[dict[str, Any], ...] = (
    KEY,
    ROLE,
    OIDC,
    FILES,
    {"type": "ecs_ram_role", "role_name": "r", "disable_imds_v1": True},
    {"type": "credentials_uri", "credentials_uri": "http://127.0.0.1/"},
)
CONFIG: dict[str, Any] = {
    "scrape_interval": "60s",
    "phone_number_label": "hashed",
    "phone_number_hash_key": "0123456789abcdef",
    "api": {"endpoint": "https://cams.example.com", "timeout": "10s"},
    "accounts": [
        {"name": f"a{index}", "qps": 1, "quota": 10, "credentials": credentials, "numbers": NUMBERS}
        for index, credentials in enumerate(CREDENTIALS)
    ]
    + [
        {
            "name": "found",
            "discover": {"refresh_interval": "5m", "max_numbers": 10, "forget_after": "1d"},
            "health": {"interval": "5m"},
        }
    ],
}
WEB: dict[str, Any] = {
    "tls_server_config": {
        "cert_file": "server.crt",
        "key_file": "server.key",
        "client_ca": "pem",
        "min_version": "TLS12",
    },
    "http_server_config": {"http2": True, "headers": {"X-Frame-Options": "deny"}},
    "basic_auth_users": {"prometheus": "$2b$10$SLbY8x.CkuUE3aFTigvm2u1zu079IOJdlLRjD0WSMzUTjemmHAklu"},
    "rate_limit": {"interval": "1s", "burst": 2},
}

KEYS = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=30, max_size=30).filter(lambda text: not text.isalpha()),
    st.text(string.ascii_letters + string.digits + "+/", min_size=40, max_size=600).map(lambda text: f"{text}=="),
    st.text(string.digits, min_size=20, max_size=20).map(lambda text: f"1{text}"),
).filter(lambda text: len(set(text)) > 8)
"""Examples of secrets: Alibaba Cloud's, base64, numbers."""


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each value of a configuration, by its path."""
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in steps:
        yield (*path, step)
        yield from places(value, (*path, step))


def is_secret_place(path: tuple[Any, ...]) -> bool:
    """Places where a text may be a secret; names, numbers, durations and rates are shown unchanged."""
    return "credentials" in path or str(path[-1]).startswith(
        ("phone_number_hash_key", "phone_number_label", "endpoint")
    )


def shapes(secret: str) -> list[Any]:
    """How a secret appears in the wrong place."""
    return [[secret], {secret: "x"}, {"key": secret}, [[{secret: secret}]]]


def as_written(secret: str) -> list[str | int]:
    """A secret of digits is a number where it is not quoted."""
    return [secret, int(secret)] if secret.isdigit() else [secret]


def texts(secret: str) -> list[Any]:
    """How it appears in place of a text, or inside one."""
    return [
        *as_written(secret),
        f"https://user:{secret}@cams.example.com",
        f"https://cams.example.com/?token={secret}",
        f"https://{secret}@cams.example.com:99999",
        f"/{secret}",
        f"{secret} ",
        f'"{secret}"',
        f"{secret}\n{secret}",
        f"id,{secret}",
        f"access_key_secret={secret}",
        f"{secret}\0",
        f"${{{secret}}}",
    ]


def replaced(config: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    node: Any = changed
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return changed


def renamed(config: dict[str, Any], path: tuple[Any, ...], name: str, value: Any) -> dict[str, Any]:
    """The configuration with another key in the place of the one at `path`."""
    changed = replaced(config, path, None)
    node: Any = changed
    for step in path[:-1]:
        node = node[step]
    if isinstance(node, dict):
        del node[path[-1]]
        node[name] = value
    return changed


def said(path: Path) -> str:
    """All messages about a configuration, from the check, a start and a poll."""
    reading = read(path)
    words = [repr(reading)]
    if reading.error is not None:
        words += reading.error.faults
    if reading.config is not None:
        words += [*reading.config.warnings, *reading.config.key_faults, *polled(reading.config)]
    if reading.config is not None and reading.error is None:
        words.append(reading.config.shown().decode())
    for syntax_only in (False, True):
        try:
            words.append(check(read(path, files=not syntax_only), None, syntax_only=syntax_only))
        except ConfigError as error:
            words.append(str(error))
    return "\n".join(words)


def polled(config: Config) -> Iterator[str]:
    for account in config.accounts:
        try:
            KeyFiles(account.credentials.secrets, FakeClock(), account.name).values()
        except CredentialsError as error:
            yield str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("id", "secret", "token"):
        (folder / name).write_text(name)
    return folder


@given(secret=KEYS, data=st.data())
def test_no_place_of_a_configuration_shows_a_secret(folder: Path, secret: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(places(CONFIG))))
    choices = [replaced(CONFIG, path, value) for value in shapes(secret)]
    if is_secret_place(path):
        choices += [replaced(CONFIG, path, value) for value in texts(secret)]
    if isinstance(path[-1], str):
        wrong = (path[-1][:-1], f"{path[-1]}_file", f"{path[-1]}:{secret}", f"{path[-1]}={secret}", secret)
        choices += [renamed(CONFIG, path, name, value) for name in wrong for value in as_written(secret)]
    file = folder / "config.yml"
    file.write_text(json.dumps(data.draw(st.sampled_from(choices))))
    assert secret not in said(file)


@given(secret=KEYS, data=st.data())
def test_no_place_of_a_web_configuration_shows_a_secret(folder: Path, secret: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(places(WEB))))
    is_user = path[-1] == "basic_auth_users"  # whose names are shown
    choices = [replaced(WEB, path, value) for value in shapes(secret) if not (is_user and isinstance(value, dict))]
    if "basic_auth_users" in path or ("tls_server_config" in path[:1] and path[-1] != "min_version"):
        choices += [replaced(WEB, path, value) for value in texts(secret)]
    if isinstance(path[-1], str):
        wrong = (path[-1][:-1], f"{path[-1]}_file", f"{path[-1]}:{secret}")
        choices += [renamed(WEB, path, name, value) for name in wrong for value in as_written(secret)]
    file = folder / "web.yml"
    file.write_text(json.dumps(data.draw(st.sampled_from(choices))))
    try:
        words = repr(load_web_config(file))
    except ConfigError as error:
        words = str(error)
    assert secret not in words


LINES = [
    "access_key_secret:SECRET",
    "access_key_secret SECRET",
    "access_key_secret: SECRET: x",
    "access_key_secret: !SECRET",
    "access_key_secret: !!SECRET x",
    "access_key_secret: *SECRET",
    "access_key_secret: &SECRET x",
    "access_key_secret: @SECRET",
    "access_key_secret: %SECRET",
    "access_key_secret: `SECRET",
    'access_key_secret: "SECRET',
    'access_key_secret: "\\SECRET"',
    "access_key_secret: {SECRET}",
    "access_key_secret: [SECRET",
    "access_key_secret: |\n      SECRET",
    "{access_key_secret:SECRET, access_key_secret:SECRET}",
    "? SECRET",
    "SECRET",
    "<<: SECRET",
    "SECRET: x",
    "{SECRET: x}",
    "access_key_secret: \tSECRET",
]
"""Typing errors that YAML reads in another way."""


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    "secret", ["wJalrXUtnFEMIK7MDENGbPxRfiCYEX", "CAISgQJ1q6Ft5B2yf+d/DhqtU2rWfVUyCjEk/Pud==", "73019458201947362810"]
)
def test_no_slip_of_the_pen_shows_a_secret(tmp_path: Path, line: str, secret: str) -> None:
    block = f"      type: access_key\n      {line}\n" if not line.startswith("{") else f"      {line}\n"
    path = tmp_path / "config.yml"
    path.write_text(
        f"accounts:\n  - name: main\n    credentials:\n{block}"
        "    numbers: [{phone_number: '8613800001234', cust_space_id: s}]\n".replace("SECRET", secret)
    )
    path.write_text(path.read_text().replace("SECRET", secret))
    words = said(path)
    assert secret not in words
    assert f"{path}:" in words
