"""Any file gives a configuration or a ConfigError, and its messages are safe to log."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import Config, load, plan
from exporter.config.loader import ACCOUNT_KEYS, API_KEYS, CONFIG_KEYS
from exporter.config.numbers import NUMBER_KEYS
from exporter.config.sections.cluster import CLUSTER_KEYS
from exporter.config.sections.credential_types import CREDENTIALS_KEYS, TYPES
from exporter.config.sections.discovery import DISCOVER_KEYS, HEALTH_KEYS
from exporter.errors import ConfigError

KEYS = [
    *CONFIG_KEYS,
    *API_KEYS,
    *CLUSTER_KEYS,
    *ACCOUNT_KEYS,
    *NUMBER_KEYS,
    *CREDENTIALS_KEYS,
    *DISCOVER_KEYS,
    *HEALTH_KEYS,
]
WORDS = [
    *TYPES,
    "masked",
    "hashed",
    "full",
    "all",
    "5m",
    "1y",
    "8613800001234",
    "+6591234567",
    "https://a.b",
    "",
    "/",
    "é",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=20)
    | st.dates()
    | st.binary(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | scalars.filter(lambda key: key == key), inner, max_size=4)
    ),
    max_leaves=30,
)
numbers = st.fixed_dictionaries(
    {"phone_number": st.sampled_from(WORDS) | anything, "cust_space_id": st.sampled_from(WORDS) | anything},
    optional={"name": anything, "labels": st.dictionaries(st.text(max_size=3), scalars, max_size=3)},
)
discover = st.fixed_dictionaries(
    {},
    optional={
        "spaces": st.sampled_from(WORDS) | st.lists(st.sampled_from(WORDS) | scalars, max_size=3),
        "exclude": st.lists(st.sampled_from(WORDS) | scalars, max_size=3) | scalars,
        "max_numbers": scalars,
        "refresh_interval": scalars,
        "forget_after": scalars,
    },
)
accounts = st.fixed_dictionaries(
    {"name": st.sampled_from(WORDS) | anything},
    optional={
        "numbers": st.lists(numbers, max_size=4) | anything,
        "discover": discover | anything,
        "health": st.dictionaries(st.sampled_from(HEALTH_KEYS), scalars, max_size=1) | anything,
        "qps": scalars,
        "quota": scalars,
        "credentials": st.dictionaries(st.sampled_from(CREDENTIALS_KEYS), scalars, max_size=6) | anything,
    },
)
nearly = st.fixed_dictionaries(
    {"accounts": st.lists(accounts, max_size=3)},
    optional={
        "scrape_interval": scalars,
        "stale_after": scalars,
        "phone_number_label": scalars,
        "phone_number_hash_key": scalars,
        "phone_number_hash_key_file": scalars,
        "api": st.dictionaries(st.sampled_from(API_KEYS), scalars, max_size=3) | anything,
    },
)


def outcome(content: bytes) -> Config | ConfigError:
    """The result of a file with `content`; any other exception is a bug."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yml"
        path.write_bytes(content)
        try:
            return load(path)
        except ConfigError as error:
            return error


def check(result: Config | ConfigError) -> None:
    if isinstance(result, Config):
        assert all(line.isprintable() for line in plan(result).split("\n"))
        assert all(account.numbers or account.discover is not None for account in result.accounts)
        return
    assert result.faults
    for fault in result.faults:
        assert fault.isprintable()
        assert len(fault) < 1500


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    check(outcome(content))


@given(st.text(max_size=200))
@example("&a [*a]")
@example("accounts: {<<: *a}")
@example("{? : }")
@example("- - - ? - ?")
def test_any_text(text: str) -> None:
    check(outcome(text.encode("utf-8", "surrogatepass")))


@given(st.text(alphabet="ab01 \t\n-:?[]{},#&*!|>'\"%@`<=~.\\x\u2028\x85", max_size=60))
def test_any_text_of_yaml_signs(text: str) -> None:
    check(outcome(text.encode()))


@given(anything | nearly)
def test_any_data(data: Any) -> None:
    check(outcome(yaml.dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")))


@given(nearly, st.sampled_from(["masked", "hashed"]))
def test_a_configuration_that_hides_numbers_shows_none(data: dict[str, Any], label: str) -> None:
    """Messages about a file are logged, also if its numbers must be masked or hashed."""
    if label == "hashed":
        data = {**data, "phone_number_hash_key": "a-key-of-some-length"}
    result = outcome(yaml.dump({**data, "phone_number_label": label}).encode("utf-8", "surrogatepass"))
    said = "\n".join(result.faults if isinstance(result, ConfigError) else result.warnings)
    assert "8613800001234" not in said
    assert "6591234567" not in said
