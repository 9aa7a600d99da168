"""config.example.yml is valid and complete."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from exporter.config import Config, load, read
from exporter.config.loader import ACCOUNT_KEYS, API_KEYS, CONFIG_KEYS, LABELS
from exporter.config.numbers import NUMBER_KEYS
from exporter.config.sections.cluster import CLUSTER_KEYS
from exporter.config.sections.credential_types import CREDENTIALS_KEYS, TYPES
from exporter.config.sections.discovery import DISCOVER_KEYS, HEALTH_KEYS
from exporter.config.settings import DEFAULT_ENDPOINT, DiscoverConfig, HealthConfig

EXAMPLE = Path(__file__).parents[2] / "config.example.yml"


def example() -> Config:
    """The configuration of the example; the files that it names do not exist."""
    reading = read(EXAMPLE, files=False)
    assert reading.error is None
    assert reading.config is not None
    return reading.config


def test_the_example_is_valid() -> None:
    config = example()
    assert [account.name for account in config.accounts] == ["main", "partner"]
    assert [account.credentials.type for account in config.accounts] == ["access_key", "ram_role_arn"]
    assert config.warnings == ()


def test_what_the_example_sets_at_the_top_are_the_defaults(tmp_path: Path) -> None:
    """If a user deletes a line of the example, nothing changes."""
    config = example()
    assert config.phone_number_label == "full"
    main = config.accounts[0]
    assert main.scrape_interval_seconds == 60
    assert (main.api.endpoint, main.api.timeout_seconds) == (DEFAULT_ENDPOINT, 10)
    assert (main.qps, main.quota, main.stale_after_seconds) == (5, 10, 900)


@pytest.mark.parametrize(
    "key",
    dict.fromkeys(
        (
            *CONFIG_KEYS,
            *API_KEYS,
            *ACCOUNT_KEYS,
            *NUMBER_KEYS,
            *CREDENTIALS_KEYS,
            *DISCOVER_KEYS,
            *HEALTH_KEYS,
            *CLUSTER_KEYS,
        )
    ),
)
def test_every_key_is_in_the_example(key: str) -> None:
    assert re.search(rf"^[ #]*(?:- )?{key}:", EXAMPLE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("word", [*TYPES, *LABELS])
def test_every_choice_is_in_the_example(word: str) -> None:
    assert re.search(rf"^[ #]*(?:type: )?{word}\b", EXAMPLE.read_text(), re.MULTILINE)


def test_the_commented_discovery_and_health_are_the_defaults(tmp_path: Path) -> None:
    """Except the number that is excluded, which is an example."""
    text = EXAMPLE.read_text()
    blocks = re.findall(r"(?m)^    # (?:discover|health):\n(?:    #   .*\n)+", text)
    assert len(blocks) == 2
    uncommented = "".join(re.sub("(?m)^    # ", "    ", block) for block in blocks)
    (tmp_path / "config.yml").write_text(f"accounts:\n  - name: main\n{uncommented}")
    config = load(tmp_path / "config.yml")
    assert config.accounts[0].discover == DiscoverConfig(exclude=frozenset({"8613800009999"}))
    assert config.accounts[0].health == HealthConfig()
    assert config.warnings == ()


def test_the_commented_credentials_are_valid(tmp_path: Path) -> None:
    """Each type in the comments at the end is valid once it is uncommented."""
    _, _, comment = EXAMPLE.read_text().partition("# The other types of credentials:\n#   credentials:\n")
    blocks = re.sub("(?m)^# ?", "", comment).split("\n\n")
    types = [re.findall(r"type: (\w+)", block)[0] for block in blocks]
    assert sorted(types) == sorted(set(TYPES) - {"access_key", "ram_role_arn"})
    (tmp_path / "file").write_text("content")
    accounts = [
        f"  - name: {kind}\n    numbers: [{{phone_number: '8613800001234', cust_space_id: s}}]\n"
        f"    credentials:\n{indent(re.sub('(?m)/(?:var/)?run/[^ ]*$', 'file', block), '  ')}\n"
        for kind, block in zip(types, blocks, strict=True)
    ]
    (tmp_path / "config.yml").write_text("accounts:\n" + "".join(accounts))
    assert [account.credentials.type for account in load(tmp_path / "config.yml").accounts] == types
