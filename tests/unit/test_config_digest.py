"""`cams_exporter_config_hash`: equal on replicas whose configurations mean the same, and on no others."""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from exporter.config import Variables, config_number, load, settings
from exporter.config.digest import LEFT_OUT, OPTIONS_LEFT_OUT
from exporter.config.settings import (
    AccountConfig,
    ApiConfig,
    ClusterConfig,
    Config,
    CredentialsConfig,
    DiscoverConfig,
    HealthConfig,
    NumberFiles,
    NumberList,
    Secret,
)
from exporter.model import PhoneNumber
from tests.support.configs import ANOTHER, NUMBER, loaded, written

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
        "scrape_interval: 2m\n" + BASE.replace("name: main", "name: main, scrape_interval: 1m"),
        "api: {timeout: 20s}\n" + BASE.replace("name: main", "name: main, api: {timeout: 10s}"),
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
        BASE.replace("name: main", "name: main, scrape_interval: 2m"),
        BASE.replace("name: main", "name: main, stale_after: 20m"),
        BASE.replace("name: main", "name: main, api: {timeout: 20s}"),
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


def test_a_variable_counts_with_its_value(tmp_path: Path) -> None:
    text = BASE.replace("name: main", "name: main, api: {timeout: '${TIMEOUT}'}")

    def with_timeout(timeout: str) -> int:
        return config_number(load(written(tmp_path, text), Variables({"TIMEOUT": timeout})))

    assert with_timeout("20s") == number(tmp_path, text.replace("${TIMEOUT}", "20s")) != with_timeout("30s")


def test_nothing_of_a_proxys_user_counts() -> None:
    def with_proxy(proxy: str) -> int:
        return config_number(replace(FULL, accounts=(replace(FULL.accounts[0], api=ApiConfig(proxy=proxy)),)))

    assert with_proxy("http://one:two@proxy:8080") == with_proxy("http://token@proxy:8080")
    assert with_proxy("http://one:two@proxy:8080") != with_proxy("http://one:two@proxy:8081")


SECRET = Secret("secret", Path("file"), "written")
FULL = Config(
    path=Path("config.yml"),
    phone_number_label="full",
    accounts=(
        AccountConfig(
            "main",
            5.0,
            10.0,
            900.0,
            CredentialsConfig("ram_role_arn", {"access_key_id": SECRET}, {"role_arn": "role", "disable_imds_v1": True}),
            (PhoneNumber("main", "cams-1", "8613800001234", "861380*****34", "name", (("team", "care"),)),),
            (NumberList("file", b"digest", array("i", [1])),),
            NumberFiles(("*.yml",), ("team",), Path("/"), "folder", str, str),
            DiscoverConfig(("cams-1",), exclude=frozenset({"8613800001234"})),
            HealthConfig(),
            60.0,
            900.0,
            ApiConfig("https://one", 1.0, Path("ca.pem"), "proxy:80"),
        ),
    ),
    warnings=("warning",),
    key_faults=("fault",),
    digest=b"digest",
    shown=lambda: b"x",
    cluster=ClusterConfig(
        3,
        "redis://one",
        (("one", 1),),
        "name",
        username="user",
        password=SECRET,
        ca_file=Path("ca.pem"),
        cert_file=Path("cert.pem"),
        key_file=Path("key.pem"),
    ),
)
"""A configuration in which every setting has a value."""


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str | bytes | array):
        return value * 2
    if isinstance(value, Path):
        return value / "x"
    if isinstance(value, tuple | frozenset | Mapping):
        return type(value)()
    return (lambda text: text) if callable(value) else None


def variants(value: Any) -> Iterator[tuple[tuple[tuple[type, str], ...], Any]]:
    """`value` with each of its fields changed, one at a time, also within it; with the fields that lead there."""
    for field in fields(value):
        if not field.init:
            continue
        here, of = (type(value), field.name), getattr(value, field.name)
        assert of is not None, f"FULL lacks {field.name}"
        yield (here,), replace(value, **{field.name: changed(of)})
        inner = of[0] if isinstance(of, tuple) else of.get("access_key_id") if isinstance(of, Mapping) else of
        if is_dataclass(inner):
            for path, part in variants(inner):
                whole = (
                    (part,) if isinstance(of, tuple) else {"access_key_id": part} if isinstance(of, Mapping) else part
                )
                yield (here, *path), replace(value, **{field.name: whole})


VARIANTS = list(variants(FULL))


@pytest.mark.parametrize(("path", "config"), VARIANTS, ids=[".".join(name for _, name in path) for path, _ in VARIANTS])
def test_every_setting_counts_unless_it_is_left_out_by_name(path: tuple[tuple[type, str], ...], config: Config) -> None:
    is_left_out = any(name in LEFT_OUT.get(kind, ()) for kind, name in path)
    assert (config_number(config) == config_number(FULL)) is is_left_out


def test_no_class_of_settings_is_forgotten() -> None:
    classes = [each for _, each in inspect.getmembers(settings, inspect.isclass) if is_dataclass(each)]
    defined = {each for each in classes if each.__module__ == settings.__name__}
    assert defined | {PhoneNumber} == {kind for path, _ in VARIANTS for kind, _ in path}


def test_what_is_left_out_is_there() -> None:
    for kind, names in LEFT_OUT.items():
        assert set(names) <= {field.name for field in fields(kind)}


@pytest.mark.parametrize("name", sorted({*OPTIONS_LEFT_OUT, "role_arn"}))
def test_an_option_of_the_credentials_counts_unless_it_is_left_out_by_name(name: str) -> None:
    def with_option(value: str) -> int:
        account = FULL.accounts[0]
        credentials = replace(account.credentials, options={name: value})
        return config_number(replace(FULL, accounts=(replace(account, credentials=credentials),)))

    assert (with_option("one") == with_option("two")) is (name in OPTIONS_LEFT_OUT)
