"""What a valid web configuration means."""

from __future__ import annotations

import os
import shutil
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.web.security.config import RateLimit, WebConfig, go_duration, load_web_config
from tests.support.pki import server_files

VALID = Path(__file__).parents[1] / "data" / "webconfig" / "valid"
HASH = "$2b$04$CmdUBs.kZ9/6w6xoscTdV.XPX.ZJvOjNVo/fOtLtRWLda/f4fFxx2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The valid files, with the certificates and keys that they name."""
    folder = tmp_path_factory.mktemp("webconfig")
    shutil.copytree(VALID, folder, dirs_exist_ok=True)
    server_files(folder, trustme.CA())
    return folder


def context_of(config: WebConfig) -> ssl.SSLContext:
    assert config.tls is not None
    return config.tls.context


@pytest.mark.parametrize("name", sorted(path.stem for path in VALID.glob("*.yml")))
def test_a_valid_file_is_accepted_with_its_warnings(folder: Path, name: str) -> None:
    """Some are from the toolkit's own documentation and tests; the warnings are in the .txt next to the file."""
    expected = VALID / f"{name}.txt"
    shown = "".join(f"{warning}\n" for warning in load_web_config(folder / f"{name}.yml").warnings)
    assert shown.replace(f"{folder}/", "") == (expected.read_text() if expected.exists() else "")


def test_every_option_has_its_effect(folder: Path) -> None:
    config = load_web_config(folder / "everything.yml")
    assert config.users == {"alice": f"$2y{HASH[3:]}", "bob": HASH.replace("$04$", "$12$")}
    assert config.headers == {
        "Content-Security-Policy": "default-src 'self' *.test.example.net",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "sameorigin",
        "X-XSS-Protection": "1; mode=block",
    }
    assert config.rate_limit == RateLimit(1.0, 20)
    assert config.tls is not None
    assert config.tls.requires_client
    assert config.tls.allowed_sans == {
        "prometheus.example",
        "192.0.2.1",
        "prometheus@example.com",
        "spiffe://example/prometheus",
    }
    context = config.tls.context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert [suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"] == [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ]


def test_the_defaults_are_the_toolkits(folder: Path) -> None:
    config = load_web_config(folder / "tls.yml")
    context = context_of(config)
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert config.tls is not None
    assert not config.tls.requires_client
    assert (config.users, config.headers, config.rate_limit) == ({}, {}, None)


@pytest.mark.parametrize("name", ["empty", "only_comments", "sections_without_value", "tls_empty"])
def test_a_file_without_content_protects_nothing(folder: Path, name: str) -> None:
    config = load_web_config(folder / f"{name}.yml")
    assert replace(config, warnings=()) == WebConfig()
    assert not config.protects


@pytest.mark.parametrize("name", ["client_auth_type_empty", "lists_without_value"])
def test_an_empty_value_counts_as_not_set(folder: Path, name: str) -> None:
    """As in the toolkit."""
    context, usual = (context_of(load_web_config(folder / f"{one}.yml")) for one in (name, "tls"))
    assert context.verify_mode is ssl.CERT_NONE
    assert context.get_ciphers() == usual.get_ciphers()


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("versions_old", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
        ("versions_old_1_1", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
        ("ciphers_some_of_tls13", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
        ("ciphers_none_of_tls12", (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)),
    ],
)
def test_what_cannot_be_done_as_asked_is_done_more_safely(
    folder: Path, name: str, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    """With suites of TLS 1.3 only, clients of TLS 1.2 find no suite, as in Go."""
    context = context_of(load_web_config(folder / f"{name}.yml"))
    assert (context.minimum_version, context.maximum_version) == versions


def test_a_blank_header_is_not_sent_and_a_bare_number_is_text(folder: Path) -> None:
    assert load_web_config(folder / "headers.yml").headers == {"X-Frame-Options": "deny", "X-XSS-Protection": "0"}


def test_an_interval_of_0_means_no_rate_limit(folder: Path) -> None:
    assert load_web_config(folder / "rate_limit_off.yml").rate_limit is None


def test_hashes_of_every_age_are_accepted(folder: Path) -> None:
    """``$2$`` is the oldest form, with the same meaning as ``$2a$``.  Names may be of any script, or empty."""
    users = load_web_config(folder / "users_without_tls.yml").users
    assert {user: hashed[:7] for user, hashed in users.items()} == {"alice": "$2y$10$", "": "$2a$10$", "zoë": "$2a$10$"}


def test_a_salt_with_bits_to_spare_is_read_as_go_reads_it(tmp_path: Path) -> None:
    """Only two bits of the salt's last character count; the bcrypt library refuses the hash if the other bits are not
    0."""
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{alice: {HASH[:28]}/{HASH[29:]}}}")
    assert load_web_config(tmp_path / "web.yml").users == {"alice": HASH}


def test_relative_paths_start_at_the_files_own_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Path(os.path.relpath(folder, tmp_path)) / "tls.yml"
    files: list[Path] = []
    load_web_config(relative, files)
    assert [file.name for file in files] == ["server.crt", "server.key"]
    assert all(file.samefile(folder / file.name) for file in files)


def test_the_files_looked_for_are_known_even_where_they_are_missing(tmp_path: Path) -> None:
    """They are watched too, so that their creation is noticed."""
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: a.crt, key_file: b.key}")
    files: list[Path] = []
    with pytest.raises(ConfigError):
        load_web_config(tmp_path / "web.yml", files)
    assert files == [tmp_path / "a.crt", tmp_path / "b.key"]


def test_certificates_and_keys_may_stand_in_the_file(folder: Path, tmp_path: Path) -> None:
    def indented(name: str) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in (folder / name).read_text().splitlines())

    (tmp_path / "web.yml").write_text(
        f"tls_server_config:\n  cert: {indented('server.crt')}  key: {indented('server.key')}"
        f"  client_ca: {indented('ca.crt')}  client_auth_type: RequireAndVerifyClientCert\n"
    )
    files: list[Path] = []
    config = load_web_config(tmp_path / "web.yml", files)
    assert files == []
    assert len(context_of(config).get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("optional_client_certificates", ssl.CERT_OPTIONAL),
        ("client_certificates_of_the_system", ssl.CERT_REQUIRED),
    ],
)
def test_the_systems_authorities_are_trusted_where_none_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: ssl.VerifyMode
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    context = context_of(load_web_config(folder / f"{name}.yml"))
    assert context.verify_mode is mode
    assert len(context.get_ca_certs()) == 1


def test_every_suite_that_go_calls_secure_is_offered(folder: Path) -> None:
    names = {str(suite["name"]) for suite in context_of(load_web_config(folder / "all_ciphers.yml")).get_ciphers()}
    assert {"ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_AES_128_GCM_SHA256"} <= names
    assert "AES256-SHA" not in names


def test_neither_hashes_nor_keys_are_in_the_repr(folder: Path) -> None:
    config = load_web_config(folder / "everything.yml")
    assert "$2" not in repr(config)
    assert "SSLContext" not in repr(config)


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("empty", "no TLS, no users, no rate limit"),
        ("tls", "TLS, no users, no rate limit"),
        ("everything", "TLS with client certificates, 2 users, a rate limit"),
        ("users_without_tls", "no TLS, 3 users, no rate limit"),
    ],
)
def test_the_summary_says_what_protects_the_server(folder: Path, name: str, summary: str) -> None:
    assert load_web_config(folder / f"{name}.yml").summary() == summary


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("+0", 0), ("1s", 1), ("1.5s", 1.5), ("1m30s", 90), ("250ms", 0.25), (".5h", 1800), ("+1us", 1e-6)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1d", "1 s", "-1s", "1s ", "1e3s", "١s", "1s" * 21, "."])
def test_what_go_does_not_read_as_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        go_duration(text)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(["ns", "us", "µs", "ms", "s", "m", "h"])), min_size=1))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    parts = parts[:20]
    assert go_duration("".join(f"{number}{unit}" for number, unit in parts)) == pytest.approx(
        sum(go_duration(f"{number}{unit}") for number, unit in parts)
    )
