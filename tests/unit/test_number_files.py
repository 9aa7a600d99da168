"""Number files at the start: what they give, and every fault with the file's own line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.check import check
from exporter.config import Config, load, plan, read
from exporter.config.loader import CONFIG_KEYS
from exporter.config.number_files import files as number_files
from exporter.config.number_files.lists import FileList
from exporter.config.numbers import NumberReader, Places
from exporter.config.settings import NumberFiles
from exporter.errors import ConfigError
from exporter.model import PhoneNumber
from tests.support.configs import ACCOUNT, NUMBER, written

HEADER = "phone_number,cust_space_id,name,team,secret\n"
ROW = "8613800001234,cams-1,desk,care,hush\n"
SAME = 'accounts: [{name: main, number_files: ["fleet.csv"], label_columns: [team]}]'


def account(**more: object) -> str:
    """A configuration of one account."""
    return json.dumps({"accounts": [{"name": "main", **more}]})


def loaded(folder: Path, globs: list[str], **more: object) -> Config:
    return load(written(folder, account(number_files=globs, **more)))


def refused(folder: Path, text: str) -> list[str]:
    """The faults, without the name of the folder."""
    with pytest.raises(ConfigError) as error:
        load(written(folder, text))
    return [fault.replace(f"{folder}/", "") for fault in error.value.faults]


def refused_file(folder: Path, name: str, content: str | bytes, **more: object) -> list[str]:
    """The faults of one number file."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return refused(folder, account(number_files=[name], **more))


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_csv_file_gives_numbers_names_and_only_the_columns_that_are_labels(
    tmp_path: Path, start: bytes, end: str
) -> None:
    text = f'{HEADER}{ROW}+4915100000001,cams-2,"a, ""quoted"" name",,\n,,,,\n\n'
    (tmp_path / "fleet.csv").write_bytes(start + text.replace("\n", end).encode())
    (main,) = loaded(tmp_path, ["fleet.csv"], label_columns=["team"]).accounts
    assert main.numbers == (
        PhoneNumber("main", "cams-1", "8613800001234", "8613800001234", "desk", (("team", "care"),)),
        PhoneNumber("main", "cams-2", "4915100000001", "4915100000001", 'a, "quoted" name'),
    )
    assert [list(of.lines) for of in main.lists] == [[], [2, 3]]


def test_yaml_and_json_files_hold_entries_as_in_numbers(tmp_path: Path) -> None:
    entry = {"phone_number": "8613800001234", "cust_space_id": "cams-1", "name": "\U0001f600", "labels": {"team": "a"}}
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "a.json").write_text(json.dumps([entry], indent="\t"))
    (tmp_path / "numbers" / "b.yml").write_text('- phone_number: "8613800001235"\n  cust_space_id: cams-1\n')
    (tmp_path / "numbers" / "c.yaml").write_text('- {phone_number: "8613800001236", cust_space_id: cams-1}\n')
    (tmp_path / "numbers" / ".hidden.yml").write_text("not: read")
    numbers = loaded(tmp_path, ["numbers/*.yml", "numbers/*.yaml", "numbers/*.json"]).accounts[0].numbers
    assert [number.phone_number[-1] for number in numbers] == ["4", "5", "6"]
    assert (numbers[0].name, numbers[0].labels) == ("\U0001f600", (("team", "a"),))


def test_typed_numbers_come_first_then_files_by_name_and_a_file_of_two_globs_once(tmp_path: Path) -> None:
    for name, digit in (("b.csv", 1), ("a.csv", 2)):
        (tmp_path / name).write_text(f"phone_number,cust_space_id\n861380000000{digit},cams-1\n")
    typed = [{"phone_number": "8613800000009", "cust_space_id": "cams-1"}]
    (main,) = loaded(tmp_path, ["b.csv", "*.csv"], numbers=typed).accounts
    assert [number.phone_number[-1] for number in main.numbers] == ["9", "2", "1"]
    assert [of.file for of in main.lists] == [str(tmp_path / name) for name in ("config.yml", "a.csv", "b.csv")]


def test_a_dollar_is_a_dollar_in_number_files(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(HEADER + "8613800001234,cams-1,${HOME},$$,\n")
    (number,) = loaded(tmp_path, ["fleet.csv"], label_columns=["team"]).accounts[0].numbers
    assert (number.name, number.labels) == ("${HOME}", (("team", "$$"),))


def test_masked_numbers_stay_masked_in_faults_and_lines_do_not(tmp_path: Path) -> None:
    """Not even a line or a file name of five digits is taken for a number."""
    (tmp_path / "20261126.csv").write_text("phone_number,cust_space_id\n" + "\n" * 12344 + "8613800001234,cams-1\n" * 2)
    text = "phone_number_label: masked\naccounts: [{name: main, number_files: ['20261126.csv']}]"
    assert refused(tmp_path, text) == [
        "20261126.csv:12347: [1].phone_number: 861380*****34 is already given for this space, in line 12346; remove one"
    ]


def test_faults_of_the_configuration_and_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("phone_number,cust_space_id\n12,cams-1\n8613800001234,your-space\n8613800001234\n")
    (tmp_path / "b.yml").write_text('- {phone_number: 8613800001234, cust_space_id: cams-1}\n- {name: ""}\n- 7\n')
    text = 'odd: 1\naccounts:\n  - name: main\n    number_files: ["*.csv", "b.yml", c.json]\n'
    (tmp_path / "c.json").write_text('{"numbers": []}')
    assert refused(tmp_path, text) == [
        f"config.yml:1: odd: unknown key; the keys here are {', '.join(CONFIG_KEYS)}",
        'a.csv:2: [0].phone_number: "12" has 2 digits; write 5 to 15, country code included',
        'a.csv:3: [1].cust_space_id: "your-space" is an example; write the whole ID, as the console shows it',
        "a.csv:4: the row has 1 cells and the header 2; complete it, or quote cells that hold a comma",
        'b.yml:1: [0].phone_number: 8613800001234 is a number; quote it: "8613800001234"',
        "b.yml:2: [1].phone_number: is missing; write its digits in quotes",
        "b.yml:2: [1].cust_space_id: is missing; write the number's space or instance ID",
        "b.yml:2: [1].name: is empty; fill it in",
        "b.yml:3: [2]: is a number; write a mapping: KEY: VALUE lines",
        'c.json:1: the file is a mapping; write a list: entries that each begin with "- "',
    ]


def test_a_number_of_two_lists_is_said_with_both_places(tmp_path: Path) -> None:
    row = "8613800001234,cams-1\n"
    (tmp_path / "a.csv").write_text(f"phone_number,cust_space_id\n\n{row}8613900005678,cams-1\n")
    (tmp_path / "b.yml").write_text('\n- cust_space_id: cams-1\n  phone_number: "8613900005678"\n')
    text = f'accounts:\n  - name: main\n    number_files: ["*.csv", "b.yml"]\n    numbers:\n      - {NUMBER}\n'
    assert refused(tmp_path, text) == [
        "a.csv:3: [0].phone_number: 8613800001234 is already given for this space, in config.yml:5; remove one",
        "b.yml:3: [0].phone_number: 8613900005678 is already given for this space, in a.csv:4; remove one",
    ]


NO_NUMBERS = "write the account's numbers, number_files or discover, or remove the account: it would do nothing"
NAMES = "phone_number,cust_space_id"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", ":1: is empty; write a header row (phone_number, cust_space_id, name) and a row for each number"),
        (" \n", None),
        (NAMES, ":1: has no rows below the header; write one for each number"),
        (f"\n{NAMES.upper()}\n{ROW}", ':2: has no column "phone_number"; rename "PHONE_NUMBER" if that is meant'),
        ("number,cust_space_id\n", ':1: has no column "phone_number"; add it to the header'),
        (NAMES.replace(",", ";"), ":1: the columns are not separated by commas; save it with commas"),
        (f"{NAMES},name,name\n", ':1: has the column "name" twice; rename one'),
        (
            f'{NAMES}\n"8613800001234,cams-1\nx\n',
            ":2: is not valid CSV: unexpected end of data; check the quotes of this row",
        ),
        (b"\xff\xfea\x00", ": is UTF-16 or UTF-32 text; save it as UTF-8"),
        (f"{NAMES}\n".encode() + b"\xe9", ":2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (f"{NAMES}\n\0", ":2: holds the control character U+0000; check that it is a text file, and remove it"),
        (f"{NAMES},name\n1{'0' * 9},s,{'x' * 257}", ":2: [0].name: has 257 characters; write at most 256"),
    ],
)
def test_a_csv_file_that_is_refused(tmp_path: Path, content: str | bytes, fault: str | None) -> None:
    said = refused_file(tmp_path, "fleet.csv", content)
    assert fault is None or f"fleet.csv{fault}" in said


def test_a_label_column_that_the_header_lacks_is_refused(tmp_path: Path) -> None:
    """A typing error would silently take the label from every number."""
    said = refused_file(tmp_path, "fleet.csv", f"{NAMES},Team\n{ROW}", label_columns=["team", "city"])
    assert said == [
        'fleet.csv:1: has no column "team", which label_columns names; rename "Team" if that is meant',
        'fleet.csv:1: has no column "city", which label_columns names; add it to the header',
    ]


def test_the_fault_of_a_file_of_two_accounts_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text("odd,cust_space_id\n")
    text = "accounts: [{name: a, number_files: [fleet.csv]}, {name: b, number_files: [fleet.csv]}]"
    assert refused(tmp_path, text) == ['fleet.csv:1: has no column "phone_number"; add it to the header']


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.csv").symlink_to("nowhere.csv")
    (tmp_path / "empty.yaml").touch()
    assert refused(tmp_path, account(number_files=["*.yaml", "*.csv"])) == [
        "dangling.csv: cannot be read: no such file or directory; create it, or fix the path",
        'empty.yaml:1: the file is empty; write a list of "- phone_number: ..." entries',
        "folder.yaml: is not a regular file; name a file",
    ]


def test_a_huge_file_is_refused_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "fleet.csv").open("wb") as file:
        file.truncate(1 << 30)
    assert refused(tmp_path, SAME) == ["fleet.csv: is larger than 16 MiB; check that it is the right file, or split it"]


def test_a_glob_that_names_more_than_may_be_kept_in_memory_is_refused(tmp_path: Path) -> None:
    for index in range(5):
        with (tmp_path / f"{index}.csv").open("wb") as file:
            file.truncate(16 << 20)
    said = refused(tmp_path, account(number_files=["*.csv"]))
    assert said[-1] == ("4.csv: does not fit: files that one glob names may hold 64 MiB in all; use fewer numbers")


def test_a_glob_that_names_too_many_files_is_refused(tmp_path: Path) -> None:
    for index in range(number_files.MAX_FILES + 1):
        (tmp_path / f"{index:04}.csv").touch()
    assert refused(tmp_path, account(number_files=["*.csv"])) == [
        'config.yml:1: accounts[0].number_files[0]: "*.csv" names 1001 files, and 1000 are the most; join some of them'
    ]


@pytest.mark.parametrize("glob", ["numbers/*.csv", "numbers/a.csv", "numbers/[a]/*.csv"])
def test_a_folder_that_cannot_be_read_is_no_folder_without_files(tmp_path: Path, glob: str) -> None:
    """A reload would take all its numbers away."""
    (tmp_path / "numbers").symlink_to("numbers")
    why = "too many levels of symbolic links; fix the symbolic links, which lead in a circle"
    (fault,) = refused(tmp_path, account(number_files=[glob]))
    assert fault == f'config.yml:1: accounts[0].number_files[0]: "{glob}" cannot be read: {why}'


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            "{name: main}",
            f"numbers: is missing; {NO_NUMBERS}",
        ),
        ("{name: main, number_files: [x.yml], numbers: []}", "numbers: is empty; remove the line"),
        (
            "{name: main, numbers: []}",
            f"numbers: is empty; {NO_NUMBERS}",
        ),
        ("{name: main, number_files: []}", "number_files: is empty; name a file, or remove the line"),
        ("{name: main, number_files: }", "number_files: is empty; name a file, or remove the line"),
        (
            "{name: main, number_files: [x.csv], label_columns: []}",
            "label_columns: is empty; name a column, or remove the line",
        ),
        (
            "{name: main, number_files: x.csv}",
            'number_files: is not a list; write a list: entries that each begin with "- "',
        ),
        ("{name: main, number_files: [7]}", "number_files[0]: is not a string; write one, in double quotes"),
        ('{name: main, number_files: [""]}', "number_files[0]: is empty; name a file, or several with *"),
        (
            "{name: main, number_files: [a.txt]}",
            'number_files[0]: "a.txt" ends in none of .yml, .yaml, .json, .csv; name files of these kinds, as in *.yml',
        ),
        (
            '{name: main, number_files: ["numbers/**/*.yml"]}',
            'number_files[0]: "numbers/**/*.yml" holds **, which is not supported; write a glob for each level',
        ),
        (
            ACCOUNT.replace("{name: main", "{name: main, label_columns: [team]"),
            "label_columns: has no effect without number_files; remove it",
        ),
        (
            "{name: main, number_files: [x.yml], label_columns: [team]}",
            "label_columns: has no effect without a .csv file in number_files; remove it",
        ),
        (
            "{name: main, number_files: [x.csv], label_columns: [team, team]}",
            "label_columns[1]: is named twice; remove one",
        ),
        (
            "{name: main, number_files: [x.csv], label_columns: [name]}",
            'label_columns[0]: "name" is a label that cams_phone_number_info has anyway; write another name',
        ),
        (
            "{name: main, number_files: [x.csv], label_columns: [instance]}",
            'label_columns[0]: "instance" is a label that Prometheus itself sets on every series; write another name',
        ),
    ],
)
def test_keys_that_are_refused(tmp_path: Path, settings: str, fault: str) -> None:
    assert f"config.yml:1: accounts[0].{fault}" in refused(tmp_path, f"accounts: [{settings}]")


def test_a_label_in_a_yaml_file_is_refused_as_a_typed_one(tmp_path: Path) -> None:
    said = refused_file(tmp_path, "a.yml", '- {phone_number: "12345", cust_space_id: s, labels: {verified_name: x}}')
    assert said == [
        "a.yml:1: [0].labels.verified_name: is a label that cams_phone_number_info has anyway; write another name"
    ]


def test_a_glob_without_a_file_warns_and_the_account_waits_for_one(tmp_path: Path) -> None:
    config = loaded(tmp_path, ["numbers/*.yml"])
    assert config.accounts[0].numbers == ()
    (warning,) = config.warnings
    what = '"numbers/*.yml" names no file; create one, or fix the path'
    assert warning == f"{tmp_path}/config.yml:1: accounts[0].number_files[0]: {what}"


def test_the_check_shows_each_file_with_its_count(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(f"{NAMES}\n8613800000001,s\n8613800000002,s\n")
    config = loaded(tmp_path, ["*.csv"], numbers=[{"phone_number": "12345", "cust_space_id": "s"}])
    said = plan(config)
    assert "valid: 1 account, 3 numbers" in said
    rows = [line.split() for line in said.split("\n\n")[2].splitlines()]
    assert rows == [["number", "file", "account", "numbers"], [f"{tmp_path}/fleet.csv", "main", "2"]]


def test_the_check_of_the_syntax_alone_does_not_look_at_them(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text("odd")
    path = written(tmp_path, SAME)
    assert "0 numbers" in check(read(path, files=False), None, syntax_only=True)
    with pytest.raises(ConfigError):
        check(read(path), None, syntax_only=False)


def test_names_are_shown_as_the_configuration_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.csv").write_text(HEADER + ROW)
    written(tmp_path, SAME)
    assert load(Path("config.yml")).accounts[0].lists[1].file == "fleet.csv"


def test_numbers_that_two_accounts_of_one_quota_have_are_warned_about_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(f"{NAMES}\n8613800001234,s\n")
    path = written(
        tmp_path,
        "accounts: [{name: a, qps: 1, number_files: [fleet.csv]}, {name: b, qps: 1, number_files: [fleet.csv]}]",
    )
    (warning,) = load(path).warnings
    assert f'one of them is asked by account "a" too ({tmp_path}/fleet.csv:2)' in warning


@given(
    st.sampled_from([".csv", ".yml", ".json"]),
    st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.text(alphabet=',"\n\r;x\\ud8c', max_size=60).map(lambda text: f"{NAMES}\n{text}".encode())
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode),
)
def test_any_content_is_a_list_of_numbers_or_refused_with_its_name(suffix: str, content: bytes) -> None:
    files = NumberFiles(("*",), (), Path("/"), "", str, str)
    name = f"fleet{suffix}"
    try:
        found = FileList(name, content, files, NumberReader("main", str))
        found.compare(Places(str))
        found.check()
    except ConfigError as error:
        faults = error.faults
    else:
        faults = ()
        assert len(found.numbers) == len(found.list.lines) > 0
    assert all(fault.startswith((f"{name}:", "... and")) for fault in faults)


@given(st.text())
def test_json_escapes_are_read_as_json_has_them(text: str) -> None:
    """Python and JavaScript write two escapes for a character beyond U+FFFF."""
    text = "".join(char for char in text if char.isprintable())[:256] or "x"
    entry = {"phone_number": "8613800001234", "cust_space_id": "s", "labels": {"team": text}}
    files = NumberFiles(("*",), (), Path("/"), "", str, str)
    found = FileList("a.json", json.dumps([entry]).encode(), files, NumberReader("main", str))
    found.check()
    assert found.numbers[0].labels == (("team", text),)
