"""`cams_exporter_config_hash`: equal on replicas whose configurations mean the same, and on no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import config_number
from tests.support.configs import ANOTHER, NUMBER, loaded

CREDENTIALS = "credentials: {type: access_key, access_key_id: one, access_key_secret: two}"
BASE = f"accounts: [{{name: main, {CREDENTIALS}, numbers: [{NUMBER}, {ANOTHER}]}}]"


def number(folder: Path, text: str) -> int:
    folder.mkdir(exist_ok=True)
    return config_number(loaded(folder, text))


def test_it_is_a_float_without_loss(tmp_path: Path) -> None:
    found = number(tmp_path, BASE)
    assert 0 < found < 2**53
    assert int(float(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("access_key_secret: two", "access_key_secret: three"),
        BASE.replace(f"{NUMBER}, {ANOTHER}", f"{ANOTHER}, {NUMBER}"),
        "# a comment\n" + BASE,
        "scrape_interval: 1m\n" + BASE,  # the default
    ],
)
def test_what_means_the_same_has_the_same(tmp_path: Path, text: str) -> None:
    assert number(tmp_path / "one", BASE) == number(tmp_path / "two", text)


@pytest.mark.parametrize(
    "text",
    [
        "scrape_interval: 2m\n" + BASE,
        BASE.replace("name: main", "name: other"),
        BASE.replace("name: main", "name: main, qps: 4"),
        BASE.replace("name: main", "name: main, health: {}"),
        BASE.replace("name: main", "name: main, discover: {}"),
        BASE.replace("name: main", 'name: main, discover: {exclude: ["8613800009999"]}'),
        BASE.replace("8613800001234", "8613800001235"),
        BASE.replace("cams-1}]", "cams-2}]"),
        "phone_number_label: masked\n" + BASE,
        "cluster: {url: redis://127.0.0.1, replicas: 3}\n" + BASE,
    ],
)
def test_what_means_something_else_has_another(tmp_path: Path, text: str) -> None:
    assert number(tmp_path, BASE) != number(tmp_path, text)


def test_a_hidden_number_cannot_be_found_from_it(tmp_path: Path) -> None:
    """There are few enough phone numbers to try all: only their labels count."""
    masked = f"phone_number_label: masked\naccounts: [{{name: main, numbers: [{NUMBER}]}}]"
    assert number(tmp_path, masked) == number(tmp_path, masked.replace("8613800001234", "8613809991234"))
