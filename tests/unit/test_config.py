"""A valid configuration: defaults, every option, derived values, and hidden values."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import trustme

from exporter.config import load, read
from exporter.model import pace_qps
from tests.support.configs import ACCOUNT, ANOTHER, NUMBER, loaded, written


def many(count: int) -> str:
    """A list of `count` different numbers, in YAML."""
    return "[" + ", ".join(f'{{phone_number: "86138{i:08d}", cust_space_id: s}}' for i in range(count)) + "]"


def test_the_least_configuration_gets_every_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"accounts: [{ACCOUNT}]")
    assert config.path == tmp_path / "config.yml"
    assert config.phone_number_label == "full"
    assert config.warnings == ()
    (account,) = config.accounts
    assert account.scrape_interval_seconds == 60
    assert account.api.endpoint == "https://cams.ap-southeast-1.aliyuncs.com"
    assert account.api.timeout_seconds == 10
    assert account.api.ca_file is None
    assert (account.name, account.qps, account.quota, account.stale_after_seconds) == ("main", 5, 10, 900)
    assert account.credentials.type == "default"
    assert (dict(account.credentials.secrets), dict(account.credentials.options)) == ({}, {})
    (number,) = account.numbers
    assert number.key == ("main", "cams-1", "8613800001234")
    assert (number.label, number.name, number.labels) == ("8613800001234", "", ())


def test_every_option_is_taken_over(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = loaded(
        tmp_path,
        """
        scrape_interval: 1m30s
        stale_after: 1h
        phone_number_label: masked
        api: {endpoint: "https://API.example.com:8443/", timeout: 500ms, ca_file: ca.pem}
        accounts:
          - name: 客户 1
            qps: 20
            quota: 25.5
            numbers:
              - phone_number: "+8613800001234"
                cust_space_id: "28880000000001"
                name: support
                labels: {team: care, "area": "", b: "line\\nbreak"}
          - {name: second, numbers: [{phone_number: "12345", cust_space_id: x}]}
        """,
    )
    assert config.phone_number_label == "masked"
    first, second = config.accounts
    for account in (first, second):
        assert account.scrape_interval_seconds == 90
        assert account.api.endpoint == "https://api.example.com:8443"
        assert account.api.timeout_seconds == 0.5
        assert account.api.ca_file == tmp_path / "ca.pem"
    assert (first.name, first.qps, first.quota, first.stale_after_seconds) == ("客户 1", 20, 25.5, 3600)
    (number,) = first.numbers
    assert number.key == ("客户 1", "28880000000001", "8613800001234")
    assert number.label == "861380*****34"
    assert number.name == "support"
    assert number.labels == (("area", ""), ("b", "line\nbreak"), ("team", "care"))
    assert second.numbers[0].label == "***45"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://cams.example.com", "https://cams.example.com"),
        ("https://cams.example.com:443/", "https://cams.example.com:443"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://my_proxy", "https://my_proxy"),
        ("http://localhost:10107", "http://localhost:10107"),
        ("http://127.0.0.1:10107", "http://127.0.0.1:10107"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:10107", "http://[::1]:10107"),
        ("HTTPS://CAMS.example.com", "https://cams.example.com"),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(tmp_path: Path, given: str, expected: str) -> None:
    assert loaded(tmp_path, f'api: {{endpoint: "{given}"}}\naccounts: [{ACCOUNT}]').accounts[0].api.endpoint == expected


def test_stale_after_leaves_room_for_three_polls(tmp_path: Path) -> None:
    """The default is 15m, or three times the time between two polls, whichever is longer, of each account."""
    text = f"accounts: [{{name: small, numbers: {many(1)}}}, {{name: slow, qps: 0.1, numbers: {many(60)}}}]"
    small, slow = loaded(tmp_path, text).accounts
    assert small.stale_after_seconds == 900
    assert slow.stale_after_seconds == pytest.approx(3 * 60 / (0.1 * 0.998))
    hourly = loaded(tmp_path, f"scrape_interval: 1h\naccounts: [{ACCOUNT}]")
    assert hourly.accounts[0].stale_after_seconds == 3 * 3600


def test_an_account_knows_its_pace_and_pass(tmp_path: Path) -> None:
    text = f"accounts: [{{name: main, qps: 10, numbers: {many(98)}}}]"
    (account,) = loaded(tmp_path, text).accounts
    assert account.pace_qps == pace_qps(10, 10)
    assert account.times().pass_seconds == pytest.approx(10)
    assert account.times().poll_seconds == 60
    assert dataclasses.replace(account, scrape_interval_seconds=5.0).times().poll_seconds == pytest.approx(10)


def test_a_short_stale_after_is_warned_about(tmp_path: Path) -> None:
    """It is allowed, but the warning names each account for which it is too short."""
    text = f"stale_after: 20m\naccounts: [{ACCOUNT}, {{name: slow, qps: 0.1, numbers: {many(150)}}}]"
    config = loaded(tmp_path, text)
    assert [account.stale_after_seconds for account in config.accounts] == [1200, 1200]
    stale, slow = config.warnings
    assert stale == (
        f'{config.path}:1: stale_after: 20m is short for account "slow", whose numbers are polled every '
        "25m3s: they will read UNKNOWN between two polls; write 1h15m9s, or remove the line"
    )
    assert slow.startswith(f"{config.path}:2: accounts[1].numbers: asking all numbers takes 25m3s")


def test_a_stale_after_of_few_polls_is_warned_about(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, f"stale_after: 2m\naccounts: [{ACCOUNT}]").warnings
    assert "UNKNOWN after few failed polls; write 15m, or remove the line" in warning


def test_a_pass_that_does_not_fit_the_interval_is_warned_about(tmp_path: Path) -> None:
    text = f"scrape_interval: 10s\naccounts: [{{name: main, numbers: {many(100)}}}]"
    config = loaded(tmp_path, text)
    (warning,) = config.warnings
    assert warning == (
        f"{config.path}:2: accounts[0].numbers: asking all numbers takes 20s, longer than scrape_interval "
        "(10s): each is polled that seldom; raise qps if the quota allows, or lengthen scrape_interval"
    )


def test_a_hundred_warnings_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    accounts = "".join(f"- {{name: account-{index}, numbers: [{NUMBER}]}}\n" for index in range(110))
    warnings = loaded(tmp_path, f"stale_after: 1m\naccounts:\n{accounts}").warnings
    assert len(warnings) == 101
    assert warnings[-1] == "... and 228 more"  # 110 short for polls; 109 over the shared quota, with a number twice


def test_accounts_that_share_credentials_must_share_the_quota(tmp_path: Path) -> None:
    """The API's limit is per Alibaba Cloud account: two entries with one key use one quota."""
    key = "credentials: {type: access_key, access_key_id: a, access_key_secret: b}"
    other = "credentials: {type: access_key, access_key_id: a2, access_key_secret: b}"
    text = (
        f"accounts: [{{name: a, qps: 4.9, {key}, numbers: [{NUMBER}]}}, "
        f"{{name: b, {key}, numbers: [{ANOTHER}]}}, {{name: c, qps: 10, {other}, numbers: [{NUMBER}]}}]"
    )
    config = loaded(tmp_path, text)
    (warning,) = config.warnings
    assert warning == (
        f'{config.path}:1: accounts[1].credentials: are of the same Alibaba Cloud account as those of account "a": '
        "together they spend 9.9 requests per second of one quota of 10, of which 98% can be used; "
        "merge the accounts, or lower their qps"
    )
    assert loaded(tmp_path, text.replace("qps: 4.9", "qps: 4.8")).warnings == ()


ROLE = "type: ram_role_arn, access_key_secret: b, role_arn: 'acs:ram::1234567890123456:role"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "type: access_key, access_key_id: theid, access_key_secret: b",
            "type: access_key, access_key_id_file: id, access_key_secret: b",
        ),
        (
            "type: access_key, access_key_id_file: id, access_key_secret: b",
            "type: sts, access_key_id_file: copy, access_key_secret: b, security_token: t",
        ),
        (f"{ROLE}/a', access_key_id: one", f"{ROLE}/b', access_key_id: two"),
        ("type: ecs_ram_role", "type: ecs_ram_role, role_name: other"),
        ("type: default", "type: default"),
    ],
)
def test_one_key_is_one_account_wherever_it_stands(tmp_path: Path, one: str, other: str) -> None:
    """Values are compared, but never shown."""
    (tmp_path / "id").write_text("theid")
    (tmp_path / "copy").write_text("theid\n")
    accounts = [
        f"{{name: {name}, credentials: {{{key}}}, numbers: [{NUMBER}]}}" for name, key in (("a", one), ("b", other))
    ]
    quota, twice = loaded(tmp_path, f"accounts: [{', '.join(accounts)}]").warnings
    assert "accounts[1].credentials: are of the same Alibaba Cloud account" in quota
    assert "accounts[1].numbers: one of them is asked by account" in twice
    assert "theid" not in quota + twice


def test_without_files_no_key_file_is_compared(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("theid")
    (tmp_path / "two").write_text("theid")
    credentials = "type: access_key, access_key_secret: b, access_key_id_file"
    accounts = [
        f"{{name: {name}, credentials: {{{credentials}: {name}}}, numbers: [{NUMBER}]}}" for name in ("one", "two")
    ]
    path = written(tmp_path, f"accounts: [{', '.join(accounts)}]")
    counts = [len(read(path, files=files).config.warnings) for files in (True, False)]  # type: ignore[union-attr] # valid
    assert counts == [2, 0]


def test_a_number_asked_twice_from_one_budget_is_warned_about(tmp_path: Path) -> None:
    key = "qps: 1, credentials: {type: access_key, access_key_id: a, access_key_secret: b}"
    text = f"accounts:\n- {{name: a, {key}, numbers: [\n  {ANOTHER},\n  {NUMBER}]}}\n"
    config = loaded(tmp_path, text + f"- {{name: b, {key}, numbers: [{NUMBER}]}}")
    (warning,) = config.warnings
    assert warning == (
        f'{config.path}:5: accounts[1].numbers: one of them is asked by account "a" too (line 4), '
        "twice from the budget of one Alibaba Cloud account; remove one of the two"
    )
    other_number, other_key = NUMBER.replace("00123", "00129"), key.replace("id: a", "id: c")
    assert loaded(tmp_path, text + f"- {{name: b, {key}, numbers: [{other_number}]}}").warnings == ()
    assert loaded(tmp_path, text + f"- {{name: b, {other_key}, numbers: [{NUMBER}]}}").warnings == ()


@pytest.mark.parametrize(
    ("one", "other", "is_twice"),
    [
        ("{}", "{}", True),
        ("{spaces: [a, b]}", "{}", True),
        ("{spaces: [a, b]}", "{spaces: [c, b]}", True),
        ("{spaces: [a, b]}", "{spaces: [c]}", False),
    ],
)
def test_spaces_listed_twice_from_one_budget_are_warned_about(
    tmp_path: Path, one: str, other: str, is_twice: bool
) -> None:
    key = "qps: 1, credentials: {type: access_key, access_key_id: a, access_key_secret: b}"
    text = f"accounts:\n- {{name: a, {key}, discover: {one}}}\n- {{name: b, {key}, discover: {other}}}\n"
    config = loaded(tmp_path, text)
    assert list(config.warnings) == is_twice * [
        (
            f'{config.path}:3: accounts[1].discover: lists spaces that account "a" lists too: their numbers are polled '
            "twice from the budget of one Alibaba Cloud account; give each account other spaces, or remove one"
        )
    ]
    assert loaded(tmp_path, text.replace("_id: a", "_id: c", 1)).warnings == ()


def test_strings_that_repeat_are_held_once(tmp_path: Path) -> None:
    """With 50,000 numbers, a copy of each space, account and label would cost tens of MB."""
    text = "accounts:\n- name: main\n  numbers:\n" + "".join(
        f'  - {{phone_number: "86138{i:08d}", cust_space_id: "s-{i % 2}", labels: {{team: a-{i % 2}}}}}\n'
        for i in range(4)
    )
    a, _, b, _ = loaded(tmp_path, text).accounts[0].numbers
    assert a.account is b.account
    assert a.cust_space_id is b.cust_space_id
    assert a.labels is b.labels
    assert a.label is a.phone_number


def test_anchors_and_aliases_spare_repetition(tmp_path: Path) -> None:
    text = f"accounts: [{{name: a, numbers: &n [{NUMBER}]}}, {{name: b, numbers: *n}}]"
    first, second = loaded(tmp_path, text).accounts
    assert first.numbers[0].key == ("a", "cams-1", "8613800001234")
    assert second.numbers[0].key == ("b", "cams-1", "8613800001234")


def test_no_repr_shows_a_secret_or_a_number(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        f"""
        phone_number_label: hashed
        phone_number_hash_key: hash-key-pa55-0123
        accounts:
          - name: main
            credentials:
              type: sts
              access_key_id: LTAI-pa55
              access_key_secret: key-pa55
              security_token: token-pa55
            discover: {{exclude: ["8613800001234"]}}
            numbers: [{NUMBER}]
          - name: uri
            credentials: {{type: credentials_uri, credentials_uri: "https://localhost/?key=pa55"}}
            numbers: [{NUMBER}]
        """,
    )
    shown = [repr(config), str(config), repr(config.accounts[0].numbers), repr(config.accounts[0].discover)]
    for account in config.accounts:
        shown += [repr(account), repr(account.credentials), repr(list(account.credentials.secrets.values()))]
    assert not [text for text in shown if "pa55" in text or "8613800001234" in text]


def test_a_configuration_is_frozen(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"accounts: [{ACCOUNT}]")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.phone_number_label = "hashed"  # type: ignore[misc] # that it can't be set is the point
    with pytest.raises(TypeError):
        config.accounts[0].credentials.options["x"] = 1  # type: ignore[index] # that it can't be set is the point


def test_two_readings_of_one_file_are_equal(tmp_path: Path) -> None:
    """A reload compares them; equal parts are not affected."""
    key = "{type: access_key, access_key_id: a, access_key_secret: b}"
    path = written(tmp_path, f"accounts: [{{name: main, credentials: {key}, numbers: [{NUMBER}]}}]")
    assert load(path) == load(path)


def test_relative_paths_start_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the working directory, which may change after the configuration was read."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "secret").write_text("s")
    credentials = "{type: access_key, access_key_id: a, access_key_secret_file: secret}"
    written(tmp_path / "etc", f"accounts: [{{name: main, credentials: {credentials}, numbers: [{NUMBER}]}}]")
    monkeypatch.chdir(tmp_path)
    config = load(Path("etc/config.yml"))
    assert config.path == Path("etc/config.yml")
    secret = config.accounts[0].credentials.secrets["access_key_secret"]
    assert (secret.value, secret.file) == (None, tmp_path / "etc" / "secret")
