"""Variables in the configuration file: ``${NAME}`` and ``$$``."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import Config, Variables, load, plan, read
from exporter.errors import ConfigError
from tests.support.configs import NUMBER, written

REST = f"numbers: [{NUMBER}]"
FLAG = "--config.expand-environment-variables"


def expanded(folder: Path, text: str, **environment: str) -> Config:
    return load(written(folder, text), Variables(environment))


def refused(folder: Path, text: str, **environment: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigError) as error:
        load(path, Variables(environment))
    return [fault.removeprefix(f"{path}:") for fault in error.value.faults]


def test_any_string_may_hold_variables(tmp_path: Path) -> None:
    """In each part of the file; several in one string too."""
    config = expanded(
        tmp_path,
        """
        scrape_interval: ${EVERY}
        api: {endpoint: "https://${HOST}:${PORT}", proxy: "http://u:${PASSWORD}@p:1"}
        accounts:
        - name: ${NAME}
          credentials: {type: access_key, access_key_id: "${ID}", access_key_secret: "${SECRET}"}
          discover: {spaces: ["${SPACE}"], exclude: ["${NUMBER}"]}
          numbers:
          - {phone_number: "+${NUMBER}", cust_space_id: "${SPACE}", name: "a ${NAME} b", labels: {team: "${TEAM}"}}
        """,
        EVERY="2m",
        HOST="a.example",
        PORT="1",
        PASSWORD="hunter2",
        NAME="main",
        ID="LTAI5t",
        SECRET="cr3t",
        SPACE="cams-1",
        NUMBER="8613800001234",
        TEAM="care",
    )
    (account,) = config.accounts
    (number,) = account.numbers
    assert (account.scrape_interval_seconds, account.api.endpoint) == (120, "https://a.example:1")
    assert account.api.proxy == "http://u:hunter2@p:1"
    assert (account.name, account.credentials.secrets["access_key_secret"].value) == ("main", "cr3t")
    assert (number.phone_number, number.cust_space_id, number.name) == ("8613800001234", "cams-1", "a main b")
    assert number.labels == (("team", "care"),)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("$$", "$"),
        ("a$$b$$", "a$b$"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$x"),
        ("$NAME", "$NAME"),
        ("a$", "a$"),
        ("${NAME}${NAME}", "xx"),
        ("${DOLLARS}", "$$ ${NAME}"),
    ],
)
def test_two_dollars_are_one_and_values_are_not_expanded_again(tmp_path: Path, text: str, name: str) -> None:
    config = expanded(tmp_path, f"accounts: [{{name: '{text}', {REST}}}]", NAME="x", DOLLARS="$$ ${NAME}")
    assert config.accounts[0].name == name


def test_an_alias_is_expanded_once(tmp_path: Path) -> None:
    config = expanded(
        tmp_path,
        """
        accounts:
        - {name: a, numbers: [{phone_number: "12345", cust_space_id: s, labels: &l {team: "$${X}"}}]}
        - name: b
          credentials: {type: ecs_ram_role}
          numbers: [{phone_number: "1234567", cust_space_id: s, labels: *l}]
        """,
        X="x",
    )
    assert {number.labels for account in config.accounts for number in account.numbers} == {(("team", "${X}"),)}


def test_number_files_are_not_expanded(tmp_path: Path) -> None:
    (tmp_path / "list.yml").write_text("- {phone_number: '12345', cust_space_id: s, name: '${NAME} $$'}\n")
    config = expanded(tmp_path, "accounts: [{name: a, number_files: ['${FILES}.yml']}]", FILES="list", NAME="x")
    assert config.accounts[0].numbers[0].name == "${NAME} $$"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: '${NOWHERE}'", "accounts[0].name: ${NOWHERE} is not set in the environment; set it"),
        ("name: 'a${}'", "accounts[0].name: holds ${ without a name and a }; write ${NAME}, or $$ for a $"),
        ("name: '${A B}'", "accounts[0].name: holds ${ without a name and a }; write ${NAME}, or $$ for a $"),
        ("name: '${X'", "accounts[0].name: holds ${ without a name and a }; write ${NAME}, or $$ for a $"),
        ("name: '${BYTES}'", "accounts[0].name: ${BYTES} holds a byte that is not UTF-8; set it to text"),
        ("name: '${EMPTY}'", "accounts[0].name: is empty; fill it in"),
        ("{name: a, qps: '${FIVE}'}", "accounts[0].qps: is a string; write a number itself, since a variable gives a"),
        (
            "name: a\n  credentials: {type: ecs_ram_role, disable_imds_v1: '${YES}'}",
            "accounts[0].credentials.disable_imds_v1: is a string; write true or false itself, since a variable gives",
        ),
    ],
)
def test_what_cannot_be_expanded_is_a_fault_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = refused(
        tmp_path,
        f"accounts:\n- {text.removesuffix('}')}, {REST}}}" if text[0] == "{" else f"accounts:\n- {text}\n  {REST}",
        EMPTY="",
        FIVE="5",
        YES="yes",
        BYTES="a\udcffb",
    )
    assert found.partition(" ")[2].startswith(fault)
    assert found.startswith("3: " if "credentials" in text else "2: ")


def test_without_the_flag_a_variable_is_refused_once_and_the_flag_is_named(tmp_path: Path) -> None:
    """Also where a string would be refused anyway, or no string belongs."""
    path = written(tmp_path, f"scrape_interval: ${{EVERY}}\naccounts: [{{name: $$, qps: '${{QPS}}', {REST}}}]")
    with pytest.raises(ConfigError) as error:
        load(path)
    first, second = error.value.faults
    assert first.startswith(
        f"{path}:1: scrape_interval: holds ${{...}}, and variables are not expanded without {FLAG}; "
    )
    assert second.startswith(f"{path}:2: accounts[0].qps: holds ${{...}}")
    assert "the key that ends in _file" in first


def test_without_the_flag_two_dollars_are_two(tmp_path: Path) -> None:
    assert load(written(tmp_path, f"accounts: [{{name: $$, {REST}}}]")).accounts[0].name == "$$"


VALUE = "hunter2-Secret.invalid"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("scrape_interval: ${V}", 'scrape_interval: "${V}" is not a duration; write for example 30s, 1m30s or 1h'),
        ("api: {endpoint: 'ftp://${V}'}", 'api.endpoint: "ftp://${V}" is not the URL of a server; write https://HOST'),
        ("api: {endpoint: 'https://${V}/x'}", 'api.endpoint: "https://${V}/x" is refused with the values that its'),
        ("api: {endpoint: 'https://a@${V}'}", "api.endpoint: holds a user name or password; remove it"),
        ("phone_number_label: '${V}'", "phone_number_label: "),
        ("api: {ca_file: '${V}.pem'}", "api.ca_file: "),
        ("{name: b, number_files: ['x/${V}*.txt']}", "accounts[0].number_files[0]: "),
        ("{name: b, numbers: [{phone_number: '${N}', cust_space_id: a}]}", "accounts[0].numbers[0].phone_number: "),
        (
            "{name: b, numbers: [{phone_number: '12345', cust_space_id: ' ${V}'}]}",
            "accounts[0].numbers[0].cust_space_id",
        ),
        ("{name: b, credentials: {type: '${V}'}}", "accounts[0].credentials.type: "),
        ("{name: b, credentials: {type: access_key, access_key_id: i, access_key_secret_file: '${V}/'}}", ""),
    ],
)
def test_a_fault_shows_the_text_as_it_is_written(tmp_path: Path, text: str, shown: str) -> None:
    """Never what the environment holds: a fault is logged, and answered over HTTP."""
    accounts = f"accounts: [{text}]" if text[0] == "{" else f"{text}\naccounts: [{{name: a, {REST}}}]"
    reading = read(written(tmp_path, accounts), Variables({"V": VALUE, "N": "86 13800 00123x"}))
    said = list(reading.error.faults if reading.error else reading.config.key_faults if reading.config else ())
    assert any(shown in fault for fault in said), said
    assert "hunter2" not in str(said).casefold()
    assert "secret.invalid" not in str(said).casefold()
    assert "1380000123" not in str(said).replace(" ", "")


def test_a_key_file_knows_how_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t")
    keys = "{type: access_key, access_key_id: i, access_key_secret_file: '${DIR}/key'}"
    config = expanded(tmp_path, f"accounts: [{{name: a, credentials: {keys}, {REST}}}]", DIR=str(tmp_path))
    secret = config.accounts[0].credentials.secrets["access_key_secret"]
    assert (secret.file, secret.written) == (tmp_path / "key", "${DIR}/key")


def test_a_warning_shows_the_text_as_it_is_written(tmp_path: Path) -> None:
    (warning,) = expanded(tmp_path, f"stale_after: ${{SHORT}}\naccounts: [{{name: a, {REST}}}]", SHORT="2m").warnings
    assert warning.endswith(
        'stale_after: "${SHORT}" is probably a mistake with the values that its variables have; check them'
    )
    (warning,) = expanded(tmp_path, f"accounts: [{{name: a, {REST}, number_files: ['${{V}}*.yml']}}]", V=VALUE).warnings
    assert 'accounts[0].number_files[0]: "${V}*.yml" names no file; create one, or fix the path' in warning


def test_a_check_without_secrets_does_not_need_the_variables(tmp_path: Path) -> None:
    """As in CI: a string whose variable is not set is not looked at, a malformed one is a fault all the same."""
    numbers = "numbers: [{phone_number: '86${N}', cust_space_id: s}]"
    text = f"scrape_interval: ${{EVERY}}\napi: {{endpoint: '${{URL}}'}}\naccounts: [{{name: '${{A}}', {numbers}}}]"
    missing = Variables({}, may_be_unset=True)
    reading = read(written(tmp_path, text), missing, files=False)
    assert reading.error is None
    assert reading.config is not None
    assert "at ${URL}" in plan(reading.config), "not at the default"
    reading = read(written(tmp_path, text.replace("${A}", "${")), missing, files=False)
    assert reading.error is not None
    (fault,) = reading.error.faults
    assert "accounts[0].name: holds ${ without a name" in fault


def test_the_plan_shows_endpoints_as_they_are_written(tmp_path: Path) -> None:
    """As faults, logs and pages do.  An account without an endpoint has the top's; one of its own hides that."""
    accounts = "\n".join(
        f"- {{name: {name}, {REST}{more}}}" for name, more in (("a", ""), ("b", ", api: {timeout: 1s}"))
    )
    text = f"api: {{endpoint: 'https://${{V}}'}}\naccounts:\n{accounts}\n"
    said = plan(expanded(tmp_path, text, V="a.example"))
    assert "every 1m at https://${V}\n" in said
    assert "a.example" not in said
    text += f"- {{name: c, {REST}, api: {{endpoint: 'https://c.example'}}}}\n"
    said = plan(expanded(tmp_path, text, V="a.example"))
    assert [line.split()[-1] for line in said.splitlines()[2:6]] == [
        "endpoint",
        "https://${V}",
        "https://${V}",
        "https://c.example",
    ]
