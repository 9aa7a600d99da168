"""The keys `discover` and `health`; tests/data/config/invalid/discover.yml has what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config.settings import DiscoverConfig, HealthConfig
from tests.support.configs import ANOTHER, NUMBER, faults, loaded

HASHED = "phone_number_label: hashed\nphone_number_hash_key: a-key-of-some-length\n"


def test_empty_mappings_mean_the_defaults(tmp_path: Path) -> None:
    (account,) = loaded(tmp_path, "accounts: [{name: main, discover: {}, health: {}}]").accounts
    assert account.discover == DiscoverConfig()
    assert account.discover == DiscoverConfig(None, 300.0, frozenset(), 10_000, 86_400.0)
    assert account.health == HealthConfig(300.0)
    assert account.numbers == ()


def test_without_the_keys_nothing_is_found_or_checked(tmp_path: Path) -> None:
    (account,) = loaded(tmp_path, f"accounts: [{{name: main, numbers: [{NUMBER}]}}]").accounts
    assert (account.discover, account.health) == (None, None)


def test_every_key_is_taken_over(tmp_path: Path) -> None:
    discover = (
        'spaces: [cams-1, "28880000000001"], refresh_interval: 1m, exclude: ["+8613800009999", "12345"], '
        "max_numbers: 20, forget_after: 2h"
    )
    text = f"accounts: [{{name: main, discover: {{{discover}}}, health: {{interval: 30s}}, numbers: [{NUMBER}]}}]"
    config = loaded(tmp_path, text)
    (account,) = config.accounts
    assert account.discover == DiscoverConfig(
        ("cams-1", "28880000000001"), 60.0, frozenset({"8613800009999", "12345"}), 20, 7200.0
    )
    assert account.health == HealthConfig(30.0)
    assert [number.found for number in account.numbers] == [False]
    assert config.warnings == ()


def test_all_spaces_may_be_written(tmp_path: Path) -> None:
    (account,) = loaded(tmp_path, "accounts: [{name: main, discover: {spaces: all}}]").accounts
    assert account.discover == DiscoverConfig()


@pytest.mark.parametrize("label", [HASHED, "phone_number_label: full\n"])
def test_discovery_works_with_labels_that_do_not_collide(tmp_path: Path, label: str) -> None:
    assert loaded(tmp_path, f"{label}accounts: [{{name: main, discover: {{}}}}]").warnings == ()


def test_masked_numbers_with_discovery_are_one_fault(tmp_path: Path) -> None:
    """However many accounts discover; without discovery masked is allowed, also with health."""
    text = "phone_number_label: masked\naccounts:\n- {{name: a, {}}}\n- {{name: b, {}}}\n"
    what = "masked cannot be used with discover (line 3): numbers may look the same; write hashed or full"
    assert faults(tmp_path, text.format("discover: {}", "discover: {}")) == [f"1: phone_number_label: {what}"]
    numbers = f"health: {{}}, numbers: [{NUMBER}]"
    assert loaded(tmp_path, text.format(numbers, numbers).replace("b, ", "b, qps: 1, ")).phone_number_label == "masked"


@pytest.mark.parametrize("written", ["8613800009999x", "+86 138 0000 9999", "008613800009999"])
def test_no_fault_shows_an_excluded_number_that_has_to_be_hidden(tmp_path: Path, written: str) -> None:
    account = f'{{name: main, discover: {{exclude: ["{written}"]}}}}'
    (fault,) = faults(tmp_path, f"{HASHED}accounts: [{account}]")
    assert "discover.exclude[0]: " in fault
    assert "00009999" not in fault.replace(" ", "")


@pytest.mark.parametrize("key", ["discover", "health"])
@pytest.mark.parametrize("value", ["", "null", "5m", "all", "true", "[]", "300"])
def test_a_section_that_is_no_mapping_says_what_to_write(tmp_path: Path, key: str, value: str) -> None:
    (fault,) = faults(tmp_path, f"accounts:\n- name: main\n  numbers: [{NUMBER}]\n  {key}: {value}\n")
    assert fault.startswith(f"4: accounts[0].{key}: is ")
    assert f"; write {key}: {{}} to " in fault


def test_a_typed_number_that_is_excluded_is_polled_and_warned_about(tmp_path: Path) -> None:
    """It is the cure where two spaces list one number; so a fault would be wrong.  No warning shows a number."""
    (tmp_path / "fleet.csv").write_text("phone_number,cust_space_id\n8613900005678,cams-1\n")
    exclude = 'exclude: ["8613800001234", "+8613900005678", "8613900009999"]'
    text = f"accounts:\n- name: main\n  discover: {{{exclude}}}\n"
    config = loaded(tmp_path, f"{text}  number_files: [fleet.csv]\n  numbers: [{NUMBER}]\n")
    assert [number.phone_number for number in config.accounts[0].numbers] == ["8613800001234", "8613900005678"]
    (warning,) = config.warnings
    assert warning == (
        f"{config.path}:3: accounts[0].discover.exclude: 2 of them are in this account's numbers too (the first "
        "in line 5) and polled there: exclude concerns found numbers only; remove one of the two, unless two "
        "spaces list it"
    )
    (warning,) = loaded(tmp_path, f"{text}  number_files: [fleet.csv]\n").warnings
    assert f"one of them is in this account's numbers too (the first in {tmp_path}/fleet.csv:2) and" in warning


def test_typed_numbers_of_spaces_that_are_not_listed_are_warned_about(tmp_path: Path) -> None:
    text = (
        "accounts:\n- name: main\n  discover: {spaces: [cams-1]}\n"
        f"  numbers:\n  - {NUMBER}\n  - {ANOTHER.replace('cams-1', 'cams-2')}\n"
    )
    config = loaded(tmp_path, text)
    (warning,) = config.warnings
    assert warning == (
        f'{config.path}:3: accounts[0].discover.spaces: lacks "cams-2", the space of a number in line 6: '
        "1 of the account's numbers get no data from listings; add their spaces, or write all"
    )
    assert loaded(tmp_path, text.replace("[cams-1]", "[cams-1, cams-2]")).warnings == ()
    assert loaded(tmp_path, text.replace("[cams-1]", "all")).warnings == ()


def test_forgetting_sooner_than_the_alert_is_warned_about(tmp_path: Path) -> None:
    text = "accounts: [{{name: main, discover: {{forget_after: {}}}}}]"
    (warning,) = loaded(tmp_path, text.format("1h")).warnings
    assert warning.endswith(
        "discover.forget_after: 1h is short: vanished numbers leave before the rule CamsNumbersVanished fires; write 2h"
    )
    assert loaded(tmp_path, text.format("2h")).warnings == ()


@pytest.mark.parametrize("number", ["1.0", "1_000_001", "-1", "true", ".inf", "1e3", "2024-01-01"])
def test_a_number_of_numbers_is_whole(tmp_path: Path, number: str) -> None:
    (fault,) = faults(tmp_path, f"accounts: [{{name: main, discover: {{max_numbers: {number}}}}}]")
    assert "write a whole number from 1 to a million" in fault


def test_labels_of_other_metrics_are_free(tmp_path: Path) -> None:
    """Labels of a configuration land on cams_phone_number_info only."""
    labels = "labels: {status: live, le: x, operation: x, code: '1', version: '2'}"
    config = loaded(tmp_path, f"accounts: [{{name: main, numbers: [{NUMBER.replace('}', f', {labels}}}')}]}}]")
    assert dict(config.accounts[0].numbers[0].labels)["status"] == "live"
