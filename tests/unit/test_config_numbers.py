"""How a phone number is shown: full, masked or hashed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.numbers import hashed, masked, parse_phone_number, redact
from tests.support.configs import ACCOUNTS, NUMBER, faults, loaded

numbers = st.from_regex(r"[1-9][0-9]{4,14}", fullmatch=True)
HASHED = "phone_number_label: hashed"
HASHED = "phone_number_label: hashed"
KEY = "0123456789abcdef"


@pytest.mark.parametrize(
    ("digits", "label"),
    [
        ("8613800001234", "861380*****34"),
        ("861380000123456", "861380*******56"),
        ("123456789012", "12345*****12"),
        ("12345678", "1*****78"),
        ("1234567", "*****67"),
        ("123456", "****56"),
        ("12345", "***45"),
    ],
)
def test_masked(digits: str, label: str) -> None:
    assert masked(digits) == label


@given(numbers)
def test_a_mask_keeps_length_and_end_and_hides_five_digits(digits: str) -> None:
    label = masked(digits)
    assert len(label) == len(digits)
    assert label[-2:] == digits[-2:]
    assert label.count("*") >= min(5, len(digits) - 2)
    assert digits.startswith(label[: label.index("*")])


def test_hashed() -> None:
    """The first 12 digits of: printf DIGITS | openssl dgst -sha256 -hmac 0123456789abcdef."""
    label = hashed(KEY.encode())
    assert label("8613800001234") == "b9138b596c97"
    assert label("4915100000001") == "aa279a8ef32e"


def test_hashed_labels_come_from_the_inline_key(tmp_path: Path) -> None:
    config = loaded(tmp_path, f'phone_number_label: hashed\nphone_number_hash_key: "{KEY}"\n{ACCOUNTS}')
    (number,) = config.accounts[0].numbers
    assert (number.label, number.phone_number) == ("b9138b596c97", "8613800001234")
    assert config.warnings == ()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_hashed_labels_come_from_the_key_file_without_its_line_break(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "key").write_bytes(KEY.encode() + end)
    config = loaded(tmp_path, f"{HASHED}\nphone_number_hash_key_file: key\n{ACCOUNTS}")
    assert config.accounts[0].numbers[0].label == "b9138b596c97"


def test_a_key_may_be_any_bytes(tmp_path: Path) -> None:
    key = bytes(range(256))
    (tmp_path / "key").write_bytes(key)
    config = loaded(tmp_path, f"{HASHED}\nphone_number_hash_key_file: key\n{ACCOUNTS}")
    assert config.accounts[0].numbers[0].label == hashed(key)("8613800001234")


def test_a_short_key_is_warned_about(tmp_path: Path) -> None:
    text = f"{HASHED}\nphone_number_hash_key: fifteen-bytes-x\n{ACCOUNTS}"
    config = loaded(tmp_path, text)
    (warning,) = config.warnings
    what = "is shorter than 16 bytes and can be guessed; write a longer one"
    assert warning == f"{config.path}:2: phone_number_hash_key: {what}"


@pytest.mark.parametrize("content", [b"\n", b"\r\n", b"xy" * 35_000])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    text = f"{HASHED}\nphone_number_hash_key_file: key\n{ACCOUNTS}"
    assert faults(tmp_path, text) == [
        "2: phone_number_hash_key_file: the file holds no key; write 16 random bytes or more to it"
    ]


def test_hashed_messages_mask_numbers(tmp_path: Path) -> None:
    text = (
        f'phone_number_label: hashed\nphone_number_hash_key: "{KEY}"\n'
        f"accounts: [{{name: main, numbers: [{NUMBER}, {NUMBER}]}}]"
    )
    (fault,) = faults(tmp_path, text)
    what = "861380*****34 is already given for this space, in line 3; remove one"
    assert fault == f"3: accounts[0].numbers[1].phone_number: {what}"


def test_two_numbers_may_look_alike_in_different_spaces(tmp_path: Path) -> None:
    alike = '{phone_number: "8613801111134", cust_space_id: cams-2}'
    text = f"phone_number_label: masked\naccounts: [{{name: main, numbers: [{NUMBER}, {alike}]}}]"
    config = loaded(tmp_path, text)
    assert [number.label for number in config.accounts[0].numbers] == ["861380*****34"] * 2


@given(numbers)
def test_a_number_is_read_as_it_is_and_with_a_plus(digits: str) -> None:
    assert parse_phone_number(digits) == digits
    assert parse_phone_number(f"+{digits}") == digits


@given(st.text(alphabet="0123456789+-. ()\n٣x", max_size=20))
def test_any_text_is_a_number_of_digits_or_refused(text: str) -> None:
    try:
        digits = parse_phone_number(text)
    except ValueError:
        assert not re.fullmatch(r"\+?[1-9][0-9]{4,14}", text)
    else:
        assert re.fullmatch("[1-9][0-9]{4,14}", digits)
        assert text in {digits, f"+{digits}"}


@given(numbers, st.sampled_from(["", " ", "-", ".", " - ", "\\n", ") "]))
def test_redaction_leaves_no_number(digits: str, separator: str) -> None:
    """Also not a number that is written in groups, or with escape sequences in between."""
    assert redact(f'"{separator.join(digits)}" is') == f'"{masked(digits)}" is'


def test_redaction_leaves_other_text_alone() -> None:
    text = 'accounts[0].qps: 1000 is out of range (0.001 to 1000); did you mean "cams-kei0001"?'
    assert redact(text) == text
