"""Refused configurations, with the exact texts.

Each file of tests/data/config/invalid has its faults in the .txt beside it: one a line, in the order of the
file, in the form ``FILE:LINE: path.to[0].key: what is wrong; what to write``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from exporter.config import load, read
from exporter.errors import ConfigError
from tests.support.configs import ACCOUNT, NUMBER, faults, loaded, written
from tests.support.pki import revocations

INVALID = Path(__file__).parents[1] / "data" / "config" / "invalid"


@pytest.mark.parametrize("path", sorted(INVALID.glob("*.yml")), ids=lambda path: path.stem)
def test_an_invalid_file_is_refused_with_every_fault(path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load(path)
    said = [fault.replace(f"{INVALID}/", "") for fault in refused.value.faults]
    assert said == path.with_suffix(".txt").read_text().splitlines()
    assert str(refused.value) == "\n".join(refused.value.faults)


def test_every_expectation_has_its_file() -> None:
    assert {path.stem for path in INVALID.glob("*.txt")} == {path.stem for path in INVALID.glob("*.yml")}


@pytest.mark.parametrize("path", sorted(INVALID.glob("*.txt")), ids=lambda path: path.stem)
def test_every_fault_names_line_and_cure(path: Path) -> None:
    for fault in path.read_text().splitlines():
        file, line, message = fault.split(":", 2)
        assert file == f"{path.stem}.yml"
        assert line.isdecimal()
        assert "; " in message


SIMULATOR = "http is for a simulator on loopback"
CLEAR = f" would send signed requests and tokens in clear text; write https: {SIMULATOR}"
NO_URL = " is not the URL of a server; write https://HOST or https://HOST:PORT"
TOO_MUCH = "has more than scheme, host and port; write https://cams.example.com"
USER = "holds a user name or password; remove it: credentials have their own place"
ODD = "holds a space or another character that no URL has; remove it"
BAD_PORT = "is not a URL; check its host and port"


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("http://cams.example.com", '"http://cams.example.com"' + CLEAR),
        ("http://10.0.0.1:80", '"http://10.0.0.1:80"' + CLEAR),
        ("http://localhost.example.com", '"http://localhost.example.com"' + CLEAR),
        ("http://127.0.0.1.example.com", '"http://127.0.0.1.example.com"' + CLEAR),
        ("cams.example.com", '"cams.example.com"' + NO_URL),
        ("cams.example.com:443", '"cams.example.com:443"' + NO_URL),
        ("ftp://cams.example.com", '"ftp://cams.example.com"' + NO_URL),
        ("https://", '"https://"' + NO_URL),
        ("https://:443", '"https://:443"' + NO_URL),
        ("https://a..b", '"https://a..b"' + NO_URL),
        ("https://-a.example", '"https://-a.example"' + NO_URL),
        ("https://[example.com]", None),
        ("", NO_URL.strip()),
        ("https://cams.example.com/api", TOO_MUCH),
        ("https://cams.example.com?x=1", TOO_MUCH),
        ("https://cams.example.com#x", TOO_MUCH),
        ("https://me:secret@cams.example.com", USER),
        ("htps:/me:secret@cams.example.com", USER),
        ("https://cams.example.com:99999", BAD_PORT),
        ("https://cams.example.com:port", BAD_PORT),
        ("https://[::1", BAD_PORT),
        ("https://cams.example.com:0", "has port 0, which nothing listens on; write the server's port"),
        (" https://cams.example.com", ODD),
        ("https://cams.example.com\\n", ODD),
        ("https://cäms.example.com", ODD),
    ],
)
def test_an_endpoint_that_is_refused(tmp_path: Path, endpoint: str, fault: str | None) -> None:
    """None, because Python's text differs between its versions."""
    (said,) = faults(tmp_path, f'api: {{endpoint: "{endpoint}"}}\naccounts: [{ACCOUNT}]')
    assert "secret" not in said
    assert said.startswith("1: api.endpoint: ")
    assert fault is None or said == f"1: api.endpoint: {fault}"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: messages shorten long values, and the length of pytest's own folder depends on the machine."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cams-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("content", [b"not a certificate", revocations()], ids=["text", "revocations"])
def test_a_ca_file_must_hold_certificates(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    assert faults(tmp_path, f"api: {{ca_file: ca.pem}}\naccounts: [{ACCOUNT}]") == [
        f'1: api.ca_file: "{tmp_path}/ca.pem" holds no certificate in PEM form; name one that does'
    ]


def test_a_ca_file_without_tls_is_refused(tmp_path: Path) -> None:
    """An option without effect is a misunderstanding."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    api = "{endpoint: http://localhost:1, ca_file: ca.pem}"
    assert faults(tmp_path, f"api: {api}\naccounts: [{ACCOUNT}]") == [
        "1: api.ca_file: has no effect with an http endpoint; remove it"
    ]


INSTEAD = "write access_key_secret instead if this is the secret itself"
MISSING = "no such file or directory; create it, or fix the path"
CIRCLE = "too many levels of symbolic links; fix the symbolic links, which lead in a circle"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (
            lambda path: None,
            f"the file named here cannot be read: {MISSING}, or {INSTEAD}",
        ),
        (lambda path: path.touch(), "{} is empty; fill it"),
        (lambda path: path.mkdir(), "{} is not a regular file; name a file"),
        (lambda path: path.symlink_to(path), f"{{}} cannot be read: {CIRCLE}"),
        (lambda path: path.write_text(" \n"), "{} holds nothing; write the key to it"),
        (lambda path: path.write_text("one\ntwo"), "{} holds 2 lines; write the key alone, on one line"),
    ],
    ids=["missing", "empty", "folder", "circle", "blank", "two lines"],
)
def test_a_key_file_of_no_use_is_a_fault_that_is_not_fatal(tmp_path: Path, prepare: object, reason: str) -> None:
    """A start reports it and polls the other accounts; the file may come later."""
    assert callable(prepare)
    prepare(tmp_path / "secret")
    credentials = "{type: access_key, access_key_id: a, access_key_secret_file: secret}"
    config = loaded(tmp_path, f"accounts: [{{name: main, credentials: {credentials}, numbers: [{NUMBER}]}}]")
    key = "accounts[0].credentials.access_key_secret_file"
    said = reason.format(f'"{tmp_path}/secret"')
    assert config.key_faults == (f"{config.path}:1: {key}: {said}",)


def test_key_faults_are_said_with_the_others(tmp_path: Path) -> None:
    """All at once, in the order of the file."""
    credentials = "{type: access_key, access_key_id: a, access_key_secret_file: secret}"
    text = f"accounts:\n- name: main\n  credentials: {credentials}\n  qps: no\n  numbers: [{NUMBER}]"
    assert [fault.split(": ")[1] for fault in faults(tmp_path, text)] == [
        "accounts[0].credentials.access_key_secret_file",
        "accounts[0].qps",
    ]


def test_without_files_the_configuration_alone_is_read(tmp_path: Path) -> None:
    """For CI, which has no secrets."""
    text = (
        "phone_number_label: hashed\nphone_number_hash_key_file: nowhere/key\napi: {ca_file: nowhere.pem}\naccounts:\n"
        "- name: main\n  credentials: {type: access_key, access_key_id_file: nowhere/id, access_key_secret_file: x}\n"
        f"  numbers: [{NUMBER}]\n"
        "- name: role\n  credentials: {type: oidc_role_arn, oidc_token_file_path: nowhere, "
        f"role_arn: 'acs:ram::1:role/r', oidc_provider_arn: 'acs:ram::1:oidc-provider/p'}}\n  numbers: [{NUMBER}]\n"
    )
    path = written(tmp_path, text)
    assert len(read(path).error.faults) == 5  # type: ignore[union-attr] # there is one
    reading = read(path, files=False)
    assert reading.error is None
    assert reading.config is not None
    assert (reading.config.key_faults, reading.config.warnings) == ((), ())
    path.write_text(text.replace("nowhere.pem", '""').replace("nowhere/id", '""'))
    assert [fault.split(": ")[1] for fault in read(path, files=False).error.faults] == [  # type: ignore[union-attr] # likewise
        "api.ca_file",
        "accounts[0].credentials.access_key_id_file",
    ]


def test_a_path_with_a_nul_is_refused(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, f'api: {{ca_file: "a\\0b"}}\naccounts: [{ACCOUNT}]')
    assert said == "1: api.ca_file: the file named here cannot be read: its name holds a NUL character; fix the path"


def test_a_hundred_faults_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    text = "accounts:\n- name: main\n  numbers:\n" + "  - {phone_number: 1, cust_space_id: s}\n" * 250
    said = faults(tmp_path, text)
    assert len(said) == 101
    assert said[0] == '4: accounts[0].numbers[0].phone_number: 1 is a number; quote it: "1"'
    assert said[99] == '103: accounts[0].numbers[99].phone_number: 1 is a number; quote it: "1"'
    assert said[100] == "... and 150 more"


def test_hostile_text_stays_on_one_line(tmp_path: Path) -> None:
    """One fault is one line of bounded length, for any content of the file."""
    key = "k" * 900 + "\\n\\r\\x1b[31m\\u2028\\U000e0001\\u202e"
    said = faults(tmp_path, f'"{key}": x\n"a\\nb": x\nphone_number_label: "{key}"\naccounts: [{ACCOUNT}]')
    assert len(said) == 3
    assert all(line.isprintable() and len(line) < 400 for line in said)
    assert said[0].startswith("1: holds an unknown key, not shown since it may be a secret; the keys here are ")
    assert said[1].startswith("2: holds an unknown key, not shown since it may be a secret; the keys here are ")


def test_texts_are_bounded(tmp_path: Path) -> None:
    """They go into every scrape."""
    long = "x" * 257
    number = f'{{phone_number: "8613800001234", cust_space_id: {long}, labels: {{a: {long}}}}}'
    assert faults(tmp_path, f"accounts: [{{name: main, numbers: [{number}]}}]") == [
        "1: accounts[0].numbers[0].cust_space_id: has 257 characters; write at most 256",
        "1: accounts[0].numbers[0].labels.a: has 257 characters; write at most 256",
    ]


def test_a_message_that_quotes_a_placeholder_is_left_alone(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, f'scrape_interval: "{{first}}"\naccounts: [{ACCOUNT}]')
    assert said.startswith('1: scrape_interval: "{first}" is not a duration')
