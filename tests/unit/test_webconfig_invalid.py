"""Refused web configurations, with the exact texts.

Each file of tests/data/webconfig/invalid has its faults in the .txt beside it: one a line, in the order of the file, in
the form ``FILE:LINE: path.to[0].key: what is wrong; what to write``.  The certificates they name are made for the test.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from itertools import groupby
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.web.security.config import HEADERS, KEYS, load_web_config
from exporter.web.security.tls import KEYS as TLS_KEYS
from tests.support.pki import encrypted, revocations, server_files

INVALID = Path(__file__).parents[1] / "data" / "webconfig" / "invalid"

TOOLKIT_SAYS = {
    "tls_no_such_file": r"no such file",
    "tls_without_files": r"missing one of cert or cert_file",
    "tls_empty_names": r"missing one of key or key_file",
    "client_ca_without_policy": r"client CA's have been configured without a Client Auth Policy",
    "client_auth_RequireAndVerify": r"invalid ClientAuth",
    "versions_unknown": r"unknown TLS version",
    "ciphers_unknown": r"unknown cipher",
    "curves_unknown": r"unknown curve",
    "tls_key_of_another_certificate": r"private key does not match",
    "headers": r'invalid value for X-Frame-Options|HTTP header "Server" can not be configured',
    "users": r"not a bcrypt hash",
}
"""exporter-toolkit's text for the same fault, because users search for it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invalid files, with the certificates and keys that they name."""
    folder = tmp_path_factory.mktemp("webconfig")
    shutil.copytree(INVALID, folder, dirs_exist_ok=True)
    authority = trustme.CA()
    cert = server_files(folder, authority)
    key = cert.private_key_pem.bytes()
    (folder / "encrypted.key").write_bytes(encrypted(key, b"password"))
    (folder / "other.key").write_bytes(authority.issue_cert("other.example").private_key_pem.bytes())
    rsa = authority.issue_cert("localhost", key_type=trustme.KeyType.RSA).private_key_pem.bytes()
    (folder / "rsa.key").write_bytes(rsa)
    (folder / "text.pem").write_text("only text")
    (folder / "empty.pem").touch()
    (folder / "folder").mkdir()
    lines = cert.cert_chain_pems[0].bytes().splitlines(keepends=True)
    (folder / "damaged.crt").write_bytes(b"".join([lines[0], *lines[3:]]))
    return folder


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_web_config(path)
    return [fault.replace(f"{path.parent}/", "") for fault in refused.value.faults]


@pytest.mark.parametrize("name", sorted(path.stem for path in INVALID.glob("*.yml")))
def test_an_invalid_file_is_refused_with_every_fault(folder: Path, name: str) -> None:
    assert faults(folder / f"{name}.yml") == (INVALID / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize("parts", [["server.crt", "damaged.crt"], ["revoked.pem"]], ids=["damaged", "revocations"])
def test_authorities_are_refused_as_a_whole(folder: Path, tmp_path: Path, parts: list[str]) -> None:
    """Where one of several is damaged, and where there are revocation lists alone, which OpenSSL loads too."""
    (folder / "revoked.pem").write_bytes(revocations())
    (tmp_path / "ca.pem").write_bytes(b"".join((folder / part).read_bytes() for part in parts))
    (tmp_path / "web.yml").write_text(
        f"tls_server_config: {{cert_file: {folder}/server.crt, key_file: {folder}/server.key, client_ca_file: ca.pem,"
        " client_auth_type: RequireAndVerifyClientCert}"
    )
    what = "holds no certificate in PEM form, or a damaged one; write a good one"
    assert faults(tmp_path / "web.yml") == [f"web.yml:1: tls_server_config.client_ca_file: {what}"]


def test_a_damaged_certificate_is_refused_whatever_this_openssl_calls_it(folder: Path) -> None:
    path = folder / "damaged.yml"
    path.write_text("tls_server_config: {cert_file: damaged.crt, key_file: server.key}")
    (fault,) = faults(path)
    assert fault.startswith("damaged.yml:1: tls_server_config.cert_file: certificate and key are refused by OpenSSL: ")


def test_a_certificate_with_nul_bytes_is_refused(folder: Path) -> None:
    """As in a half-written file after a crash of the machine."""
    (folder / "nul.crt").write_bytes(b"\0" * 1000)
    path = folder / "nul.yml"
    path.write_text("tls_server_config: {cert_file: nul.crt, key_file: server.key}")
    assert faults(path) == ["nul.yml:1: tls_server_config.cert_file: holds no certificate in PEM form; write one"]


@pytest.mark.parametrize("key_type", ["RSA", "ECDSA"])
def test_a_key_of_another_kind_than_the_certificates_is_said_not_to_match(folder: Path, key_type: str) -> None:
    """OpenSSL only says that no certificate is assigned."""
    other = {"RSA": trustme.KeyType.ECDSA, "ECDSA": trustme.KeyType.RSA}[key_type]
    authority = trustme.CA()
    (folder / "kind.crt").write_bytes(
        authority.issue_cert("localhost", key_type=trustme.KeyType[key_type]).cert_chain_pems[0].bytes()
    )
    (folder / "kind.key").write_bytes(authority.issue_cert("localhost", key_type=other).private_key_pem.bytes())
    path = folder / "kind.yml"
    path.write_text("tls_server_config: {cert_file: kind.crt, key_file: kind.key}")
    (fault,) = faults(path)
    assert "tls_server_config.key_file: the private key does not match the certificate" in fault


def test_every_expectation_has_its_file() -> None:
    assert {path.stem for path in INVALID.glob("*.txt")} == {path.stem for path in INVALID.glob("*.yml")}


@pytest.mark.parametrize("path", sorted(INVALID.glob("*.txt")), ids=lambda path: path.stem)
def test_every_fault_names_line_and_cure_and_no_secret(path: Path) -> None:
    for fault in path.read_text().splitlines():
        file, line, message = fault.split(":", 2)
        assert file == f"{path.stem}.yml"
        assert line.isdecimal()
        assert "; " in message
        assert not re.search(r"horse|\$2b\$\d\d\$C|tooshort|12345678|a-secret-key", fault)


@pytest.mark.parametrize("name", TOOLKIT_SAYS)
def test_a_fault_says_what_the_toolkit_says(name: str) -> None:
    assert re.search(TOOLKIT_SAYS[name], (INVALID / f"{name}.txt").read_text())


VALUES = st.sampled_from(
    ["", "1", "-1", "true", "[]", "{}", "[a, 1, {}]", "{a: b}", "null", "''", '"\\0"', "/dev/zero", "..", "TLS13", "1s"]
)
PLACES = st.sampled_from(
    [f"tls_server_config.{key}" for key in TLS_KEYS]
    + [f"http_server_config.headers.{name}" for name in HEADERS]
    + ["http_server_config.http2", "http_server_config.headers", "basic_auth_users.alice"]
    + ["rate_limit.interval", "rate_limit.burst", *KEYS]
)


@given(st.dictionaries(PLACES, VALUES, max_size=6))
def test_any_file_is_read_or_refused_with_line_and_fix(wrong: dict[str, str]) -> None:
    """Never a traceback; a refusal says where the fault is and how to fix it."""
    lines = []
    for section, keys in groupby(sorted(wrong), key=lambda place: place.partition(".")[0]):
        lines.append(f"{section}: {wrong.get(section, '')}")
        if section not in wrong:
            inner = {key.partition(".")[2]: wrong[key] for key in keys}
            lines += [f"  {key}: {value}" for key, value in inner.items() if "." not in key]
            headers = {key.partition(".")[2]: value for key, value in inner.items() if "." in key}
            if headers and "headers" not in inner:
                lines += ["  headers:", *(f"    {name}: {value}" for name, value in headers.items())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "web.yml"
        path.write_text("\n".join(lines))
        try:
            load_web_config(path)
        except ConfigError as error:
            for fault in error.faults:
                assert re.match(re.escape(f"{path}:") + r"\d+: .+; .+", fault), fault
