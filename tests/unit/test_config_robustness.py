"""Files that are not a configuration: one clear error, quickly, and never a traceback."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from exporter.config import load
from exporter.errors import ConfigError
from tests.support.configs import faults

SPLIT = "check that it is the right file"
TOO_DEEP = "is nested deeper than 32 levels; check the brackets and the indentation"
TOO_MANY = f"holds too many values, aliases counted; {SPLIT}"
TEXT = "check that it is a text file, and remove it"

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)
"""Nine to the twelfth strings in a kilobyte."""


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[" * 100_000, f"1: {TOO_DEEP}"),
        ("{a: " * 100_000, f"1: {TOO_DEEP}"),
        ("- " * 100_000, f"1: {TOO_DEEP}"),
        ("? " * 100_000, f"1: {TOO_DEEP}"),
        ("".join(" " * level + "a:\n" for level in range(1000)), f"33: {TOO_DEEP}"),
        (BOMB, f"7: {TOO_MANY}"),
        ("a: b\0c", f"1: holds the control character U+0000; {TEXT}"),
        ("a: b\n\x07", f"2: holds the control character U+0007; {TEXT}"),
        (b"a: b\nc: \xe9t\xe9\n", "2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe", "1: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: b".encode("utf-16"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("a: b".encode("utf-32"), "is UTF-16 or UTF-32 text; save it as UTF-8"),
        ("a: b".encode("utf-16-be"), f"1: holds the control character U+0000; {TEXT}"),
        ("a: é".encode() + b"\xed\xa0\x80", "1: byte 0xed is not UTF-8; save the file as UTF-8"),
        (b"", "1: is empty; write KEY: VALUE lines"),
        (b"\xef\xbb\xbf", "1: is empty; write KEY: VALUE lines"),
        ("# nothing\n---\n...\n", "1: is empty; write KEY: VALUE lines"),
        ("null", "1: is empty; write KEY: VALUE lines"),
        ("123", "1: the file is a number; write a mapping: KEY: VALUE lines"),
        ("2024-01-01", "1: the file is a date; write a mapping: KEY: VALUE lines"),
        ("a: &a {b: [*a]}", "1: is an alias of what it stands in, without end; write the value out"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_file_that_is_no_configuration_gets_one_error(
    tmp_path: Path,
    content: str | bytes,
    fault: str,
) -> None:
    assert faults(tmp_path, content) == [fault]


def test_a_file_of_50_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert refused.value.faults == (f"{path}: is larger than 16 MiB; {SPLIT}, or split it",)


def test_random_bytes_get_one_error(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, random.Random(1).randbytes(1 << 20))
    assert said == "1: byte 0xf5 is not UTF-8; save the file as UTF-8"


def test_a_flood_of_faults_is_bounded(tmp_path: Path) -> None:
    """Each unknown key and each duplicate is a fault, but only a hundred are listed."""
    said = faults(tmp_path, "".join(f"k{index % 1000}: x\n" for index in range(20_000)))
    assert len(said) == 101
    assert said[-1] == "... and 19901 more"  # 1,000 unknown keys, 19,000 duplicates, no accounts


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "cannot be read: no such file or directory; create it, or fix the path"),
        (lambda path: path.mkdir(), "is not a regular file; name a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file; name a file"),
    ],
    ids=["missing", "folder", "endless"],
)
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, make: object, reason: str) -> None:
    """At once: reading /dev/zero would never end."""
    assert callable(make)
    path = tmp_path / "config.yml"
    make(path)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert refused.value.faults == (f"{path}: {reason}",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.touch(mode=0)
    with pytest.raises(ConfigError, match="permission denied; fix the permissions"):
        load(path)


@pytest.mark.parametrize("path", ["a\0b", "/dev/null/config.yml", "x" * 5000], ids=["nul", "below", "long"])
def test_a_path_that_can_not_be_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(Path(path))
    (fault,) = refused.value.faults
    assert fault.startswith(path.replace("\0", "\\0") + ": cannot be read: ")


def test_50_000_numbers_load(tmp_path: Path) -> None:
    """The largest supported configuration."""
    lines = ["accounts:"]
    for account in range(100):
        lines += [f"- name: account-{account}", "  numbers:"]
        for number in range(account * 500, account * 500 + 500):
            labels = "*labels" if number else "&labels {team: care, environment: production}"
            lines += [
                f'  - phone_number: "8613{number:09d}"',
                f"    cust_space_id: cams-{account}",
                f"    name: line-{number}",
                f"    labels: {labels}",
            ]
    path = tmp_path / "config.yml"
    path.write_text("\n".join(lines))
    config = load(path)
    numbers = [number for account in config.accounts for number in account.numbers]
    assert len(numbers) == 50_000
    assert len({number.key for number in numbers}) == 50_000
    assert len(config.accounts) == 100
    assert len({id(number.labels) for number in numbers}) == 100
    assert numbers[-1].name == "line-49999"
