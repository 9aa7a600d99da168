"""What the page ``/config`` shows: YAML, without secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import Variables, load
from exporter.config.numbers import hashed
from exporter.config.sections.credential_types import CREDENTIALS_KEYS
from exporter.config.shown import OPEN_KEYS, Shown
from exporter.config.strict_yaml import Document
from tests.support.configs import NUMBER, written

REST = f"numbers: [{NUMBER}]"


def shown(folder: Path, text: str, **environment: str) -> Any:
    """What is shown of `text`, read as YAML."""
    return yaml.safe_load(shown_text(folder, text, **environment))


def shown_text(folder: Path, text: str, **environment: str) -> str:
    return load(written(folder, text), Variables(environment or None)).shown().decode()


def test_what_is_written_is_shown_with_the_main_defaults(tmp_path: Path) -> None:
    assert (
        shown_text(
            tmp_path,
            f"stale_after: 20m\naccounts:\n- {{name: main, qps: 2, discover: {{}}, label_columns: [a, 'on'], "
            f"number_files: ['*.csv'], {REST}}}",
        )
        == """\
stale_after: 20m
accounts:
- name: main
  qps: 2
  discover: {}
  label_columns:
  - a
  - "on"
  number_files:
  - "*.csv"
  numbers:
  - phone_number: "8613800001234"
    cust_space_id: cams-1
  quota: 10
  credentials:
    type: default
scrape_interval: 1m
phone_number_label: full
api:
  endpoint: https://cams.ap-southeast-1.aliyuncs.com
  timeout: 10s
"""
    )


def test_the_store_of_the_replicas_is_shown_without_its_password(tmp_path: Path) -> None:
    section = (
        "{sentinels: ['one:1', '${TWO}:2'], master_name: main, tls: true, username: cams, password: hush, replicas: 3}"
    )
    found = shown_text(tmp_path, f"cluster: {section}\naccounts: [{{name: main, {REST}}}]", TWO="two")
    assert yaml.safe_load(found)["cluster"] == {
        "sentinels": ["one:1", "${TWO}:2"],
        "master_name": "main",
        "tls": True,
        "username": "cams",
        "password": "<secret>",
        "replicas": 3,
        "lease": "15s",
        "key_prefix": "cams-exporter",
    }


def test_the_file_of_the_stores_password_is_shown_if_it_is_there(tmp_path: Path) -> None:
    """Else it may be the password itself, written there by mistake."""
    (tmp_path / "password").write_text("hush")
    section = "{url: unix:///run/store.sock, password_file: password, replicas: 3, lease: 5s, key_prefix: other}"
    found = shown(tmp_path, f"cluster: {section}\naccounts: [{{name: main, {REST}}}]")
    assert found["cluster"] == {
        "url": "unix:///run/store.sock",
        "password_file": "password",
        "replicas": 3,
        "lease": "5s",
        "key_prefix": "other",
    }


@pytest.mark.parametrize(
    "text", ["yes", "NULL", "1", "0x1", "1e3", "2020-01-01", "a: b", "#", "- x", " x ", "~", "é", "<x>"]
)
def test_every_string_is_read_back_as_the_same_string(tmp_path: Path, text: str) -> None:
    labels = {"team": text, "other": "line\nbreak \u202e \U0001f600"}
    number = {"phone_number": "12345", "cust_space_id": "s", "labels": labels}
    read = shown(tmp_path, yaml.safe_dump({"accounts": [{"name": "main", "numbers": [number]}]}))
    assert read["accounts"][0]["numbers"] == [number]


SECRETS = {
    "access_key": "access_key_id: LTAIhunter2, access_key_secret: hunter2",
    "sts": "access_key_id: LTAIhunter2, access_key_secret: hunter2, security_token: hunter2",
    "ram_role_arn": "access_key_id: hunter2, access_key_secret: hunter2, external_id: hunter2, "
    "role_arn: 'acs:ram::1:role/r'",
    "credentials_uri": "credentials_uri: 'http://127.0.0.1/?token=hunter2'",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_shown(tmp_path: Path, kind: str) -> None:
    text = shown_text(tmp_path, f"accounts: [{{name: a, credentials: {{type: {kind}, {SECRETS[kind]}}}, {REST}}}]")
    assert "hunter2" not in text
    credentials = yaml.safe_load(text)["accounts"][0]["credentials"]
    assert credentials.pop("type") == kind
    assert credentials.pop("role_arn", "") in {"", "acs:ram::1:role/r"}
    assert set(credentials.values()) == {"<secret>"}


def test_a_new_key_of_credentials_is_hidden_until_somebody_decides(tmp_path: Path) -> None:
    hidden = {"access_key_id", "access_key_secret", "security_token", "external_id", "credentials_uri", "public_key_id"}
    hidden |= {"role_name", "role_session_name", "sts_endpoint"}  # they take nearly any text
    files = {key for key in CREDENTIALS_KEYS if key.endswith(("_file", "_file_path"))}
    assert set(CREDENTIALS_KEYS) - hidden - files - {"disable_imds_v1"} == OPEN_KEYS


def test_the_hash_key_is_not_shown(tmp_path: Path) -> None:
    key = "0123456789abcdef"
    read = shown(tmp_path, f"phone_number_label: hashed\nphone_number_hash_key: {key}\naccounts: [{{name: a, {REST}}}]")
    assert read["phone_number_hash_key"] == "<secret>"


def test_a_file_is_shown_if_it_is_one(tmp_path: Path) -> None:
    """By mistake it may be the secret itself: the account is refused then, but the configuration is in force."""
    for file, expected in {"key.txt": "key.txt", "/run/x": "/run/x", "aGh1bnRlcjI": "<secret>"}.items():
        keys = f"{{type: access_key, access_key_id_file: {file}, access_key_secret_file: {file}}}"
        read = shown(tmp_path, f"accounts: [{{name: a, credentials: {keys}, {REST}}}]")
        assert read["accounts"][0]["credentials"]["access_key_secret_file"] == expected


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://user:hunter2@proxy:1", "http://<secret>@proxy:1"),
        ("http://hunter2@proxy:1", "http://<secret>@proxy:1"),
        ("user:hunter2@proxy:1", "<secret>@proxy:1"),
        ("http://user:p@hunter2@proxy:1", "http://<secret>@proxy:1"),
        ("http://proxy:1", "http://proxy:1"),
        ("http://user:${P}@proxy:1", "http://<secret>@proxy:1"),
        ("http://${U}:${P}@proxy:1", "http://${U}:${P}@proxy:1"),
        ("http://${U}:hunter2@${H}:1", "http://<secret>@${H}:1"),
        ("${ALL}", "${ALL}"),
    ],
)
def test_a_password_in_a_url_is_hidden(tmp_path: Path, proxy: str, expected: str) -> None:
    """At the top, in an account, and wherever else somebody writes one."""
    label = "see https://user:hunter2@wiki.example/x"
    number = f'{{phone_number: "12345", cust_space_id: s, labels: {{wiki: "{label}"}}}}'
    text = f"api: {{proxy: '{proxy}'}}\naccounts: [{{name: a, api: {{proxy: '{proxy}'}}, numbers: [{number}]}}]"
    read = shown(tmp_path, text, U="hunter2", P="hunter2", H="proxy", ALL="http://u:hunter2@proxy:1")
    assert read["api"]["proxy"] == read["accounts"][0]["api"]["proxy"] == expected
    assert read["accounts"][0]["numbers"][0]["labels"] == {"wiki": "see https://<secret>@wiki.example/x"}
    assert "hunter2" not in str(read)


def test_variables_are_as_they_are_written(tmp_path: Path) -> None:
    read = shown(
        tmp_path,
        """
        api: {endpoint: "https://${HOST}"}
        accounts:
        - name: $${NAME} ${NAME}
          credentials: {type: access_key, access_key_id: "${ID}", access_key_secret: "cr3t${ID}"}
          discover: {spaces: ["${NAME}", b], exclude: ["${NUMBER}"]}
          numbers: [{phone_number: "${NUMBER}", cust_space_id: "${NAME}"}]
        """,
        HOST="hidden.example",
        NAME="hidden",
        ID="hidden",
        NUMBER="8613800001234",
    )
    (account,) = read["accounts"]
    assert read["api"]["endpoint"] == "https://${HOST}"
    assert account["name"] == "$${NAME} ${NAME}"
    assert account["credentials"] == {"type": "access_key", "access_key_id": "${ID}", "access_key_secret": "<secret>"}
    assert account["discover"] == {"spaces": ["${NAME}", "b"], "exclude": ["${NUMBER}"]}
    assert account["numbers"] == [{"phone_number": "${NUMBER}", "cust_space_id": "${NAME}"}]
    assert "hidden" not in str(read)


def test_numbers_are_shown_as_the_labels_say(tmp_path: Path) -> None:
    """Also where a part of a number is a variable: the rest would give it away."""
    key = "0123456789abcdef"
    read = shown(
        tmp_path,
        f"phone_number_label: hashed\nphone_number_hash_key: {key}\naccounts: [{{name: a, "
        "discover: {exclude: ['+8613800005555']}, numbers: ["
        "{phone_number: '+8613800001234', cust_space_id: s}, {phone_number: '86138${REST}', cust_space_id: s}]}]",
        REST="00005678",
    )
    (account,) = read["accounts"]
    label = hashed(key.encode())
    assert [number["phone_number"] for number in account["numbers"]] == [label("8613800001234"), label("8613800005678")]
    assert account["discover"]["exclude"] == [label("8613800005555")]
    masked = shown(tmp_path, f"phone_number_label: masked\naccounts: [{{name: a, {REST}}}]")
    assert masked["accounts"][0]["numbers"][0]["phone_number"] == "861380*****34"


def test_numbers_of_files_are_not_a_part_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text(f"[{NUMBER}]")
    text = shown_text(tmp_path, "accounts: [{name: a, number_files: [list.yml]}]")
    assert "list.yml" in text
    assert "8613800001234" not in text


def test_a_label_may_have_the_name_of_a_key(tmp_path: Path) -> None:
    number = {
        "phone_number": "12345",
        "cust_space_id": "s",
        "labels": {"proxy": "x@y", "exclude": "no", "key_file": "z"},
    }
    read = shown(tmp_path, yaml.safe_dump({"accounts": [{"name": "main", "numbers": [number]}]}))
    assert read["accounts"][0]["numbers"] == [number]


def test_it_is_shown_while_the_environment_has_the_variables(tmp_path: Path) -> None:
    """As `os.environ` gives them."""
    name = next(name for name, value in os.environ.items() if value.isalnum())
    read = load(written(tmp_path, f"accounts: [{{name: '${{{name}}}', {REST}}}]"), Variables(os.environ)).shown()
    assert f"${{{name}}}".encode() in read


def test_a_section_that_comes_later_shows_no_secret() -> None:
    """What a key is called decides, and a URL's password is hidden anywhere."""
    document = Document("config.yml", Path("/"))
    document.content = (
        b"store: {url: 'rediss://:hunter2@h/0', password: hunter2, auth_token: hunter2, key: hunter2, "
        b"key_file: aHVudGVyMg, password_file: p.txt, key_prefix: p, inner: {client_secret: hunter2}}\naccounts: []"
    )
    assert yaml.safe_load(Shown(document, Variables(), str).text())["store"] == {
        "url": "rediss://<secret>@h/0",
        **dict.fromkeys(("password", "auth_token", "key", "key_file"), "<secret>"),
        "password_file": "p.txt",
        "key_prefix": "p",
        "inner": {"client_secret": "<secret>"},
    }


def test_it_is_the_file_as_it_was_read(tmp_path: Path) -> None:
    """Not as it is now: it may be half written, or refused."""
    config = load(written(tmp_path, f"scrape_interval: 2m\naccounts: [{{name: main, {REST}}}]"))
    written(tmp_path, "scrape_interval: 3m\n")
    assert yaml.safe_load(config.shown())["scrape_interval"] == "2m"


def test_it_is_rendered_once_and_only_when_it_is_asked_for() -> None:
    """A start does not wait for a page that few open."""
    labelled = []

    def label(digits: str) -> str:
        labelled.append(digits)
        return "shown"

    document = Document("config.yml", Path("/"))
    document.content = f"accounts: [{{name: main, {REST}}}]".encode()
    text = Shown(document, Variables(), label).text
    assert not labelled
    assert text() == text()
    assert labelled == ["8613800001234"]
