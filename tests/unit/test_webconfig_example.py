"""web-config.example.yml is valid and complete."""

from __future__ import annotations

import re
from pathlib import Path

import bcrypt
import pytest
import trustme

from exporter.web.security.config import HEADERS, KEYS, WebConfig, load_web_config
from exporter.web.security.tls import KEYS as TLS_KEYS
from exporter.web.security.tls_names import CURVES
from tests.support.pki import server_files

EXAMPLE = Path(__file__).parents[2] / "web-config.example.yml"


def loaded(folder: Path, text: str) -> WebConfig:
    """The configuration of `text`, next to the files that the example names."""
    server_files(folder, trustme.CA())
    (folder / "ca.crt").rename(folder / "client-ca.crt")
    (folder / "web.yml").write_text(text)
    return load_web_config(folder / "web.yml")


def test_the_example_is_valid_and_its_password_is_the_one_it_names(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE.read_text())
    assert config.tls is not None
    assert config.tls.requires_client
    assert config.headers == {"Strict-Transport-Security": "max-age=31536000"}
    assert config.rate_limit is None
    assert bcrypt.checkpw(b"change me", config.users["prometheus"].encode())


def test_what_it_shows_as_a_comment_is_valid_too(tmp_path: Path) -> None:
    """Except keys that exclude another key."""
    text = re.sub(r"(?m)^( +)# (?=[A-Za-z_-]+:( |$)|  - )(?!.*\.\.\.$)", r"\1", EXAMPLE.read_text())
    config = loaded(tmp_path, text)
    assert config.tls is not None
    assert config.tls.allowed_sans == {"prometheus.example.com"}
    assert set(config.headers) == set(HEADERS)


@pytest.mark.parametrize("key", [*KEYS, *TLS_KEYS, *HEADERS, "http2", "headers", "interval", "burst"])
def test_every_key_is_in_the_example(key: str) -> None:
    assert re.search(rf"^[ #]*{key}:", EXAMPLE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("word", [*CURVES, "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"])
def test_every_choice_is_in_the_example(word: str) -> None:
    assert re.search(rf"\b{word}\b", EXAMPLE.read_text())
