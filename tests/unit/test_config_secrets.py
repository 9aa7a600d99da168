"""Valid keys, and invalid keys that are refused without being shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config.secrets import MAX_BYTES, parse_key, read_key

ID = "LTAI5tQnKxyz4G7hJk9LmNpQ"
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEX"
TOKEN = "CAISgQJ1q6Ft5B2yfSjIr5f4+d/DhqtU2rWfVUyCjEk/PudZhpqfjDz2IHhMe3RhCOkftfs2mWFX6f0flqJIRoReREvCUcZr8syHjIdqAg=="

NO_KEYS = {
    f"{ID},{SECRET}": "holds a comma, which no key has; write the ID and the secret apart",
    f"AccessKey ID,AccessKey Secret\n{ID},{SECRET}\n": "is the console's CSV file; ",
    "AccessKeyId,Secret": "is the console's CSV file; ",
    f"{ID}\n{SECRET}": "holds 2 lines; write the key alone, on one line",
    f"\n{SECRET}": "holds 2 lines; ",
    f'"{SECRET}"': "is in quotes that would count as a part of it; ",
    f"'{SECRET}'": "is in quotes that would count as a part of it; ",
    f"{SECRET}'": "is in quotes that would count as a part of it; ",
    f"ALIBABA_CLOUD_ACCESS_KEY_SECRET={SECRET}": "holds a name and a value; write the value alone",
    f"export ALIBABA_CLOUD_ACCESS_KEY_ID={ID}": "holds a name and a value; write the value alone",
    f"access_key_secret: {SECRET}": "holds a name and a value; write the value alone",
    f'{{"AccessKeyId": "{ID}", "AccessKeySecret": "{SECRET}"}}': "is JSON; write the value alone",
    f" {SECRET}": "holds a space or another character that no key has; ",
    f"{SECRET[:9]} {SECRET[9:]}": "holds a space or another character that no key has; ",
    f"{SECRET}\u200b": "holds a space or another character that no key has; ",
    f"{SECRET}ä": "holds a space or another character that no key has; ",
    f"{SECRET[:9]}\0": "holds a space or another character that no key has; ",
}
PLACEHOLDERS = [
    "${ALIBABA_CLOUD_ACCESS_KEY_SECRET}",
    "$ACCESS_KEY",
    "$(ACCESS_KEY)",
    "%ACCESS_KEY%",
    "{{ .Values.accessKey }}",
    "<placeholder>",
    "<your access key>",
    "[secret]",
    "YourAccessKeyId",
    "YourAccessKeySecret",
    "yourSecurityToken",
    "your-access-key-secret",
    "YOUR_ACCESS_KEY_ID",
    "LTAI...",
    "LTAI5t****",
    "xxxxxxxx",
    "****",
    "changeme",
    "CHANGE_ME",
    "replace-me",
    "TODO",
]


@pytest.mark.parametrize("key", [ID, SECRET, TOKEN, f"STS.{ID}", "s", "key-main", "secret-main", "s3cr3t", "yo+/="])
def test_a_key_is_taken_as_it_is(key: str, tmp_path: Path) -> None:
    assert parse_key(key) == key
    (tmp_path / "key").write_text(key)
    assert read_key(tmp_path, "key") == key


@pytest.mark.parametrize("text", NO_KEYS)
def test_an_invalid_key_is_refused_inline_and_in_a_file(text: str, tmp_path: Path) -> None:
    """The first request would fail with a wrong signature, which does not show the cause."""
    with pytest.raises(ValueError, match="^" + NO_KEYS[text].replace("'", ".")) as inline:
        parse_key(text)
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(ValueError, match="; ") as in_file:
        read_key(tmp_path, "key")
    assert str(in_file.value) == f'"{path}" {inline.value}'
    assert not any(part in str(in_file.value) for part in (ID, SECRET, SECRET[:9]))


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is a placeholder; write the real key$"):
        parse_key(text)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfs3cr3t", b"s3cr3t\r\n", b"s3cr3t \n\n"])
def test_a_mark_before_and_white_space_after_do_not_count(content: bytes, tmp_path: Path) -> None:
    """Editors add them unasked."""
    (tmp_path / "key").write_bytes(content)
    assert read_key(tmp_path, "key") == "s3cr3t"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; fill it"),
        (b"\n \n", "holds nothing; write the key to it"),
        ("s3cr3t".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"\xff\xffs3cr3t", "holds a space or another character that no key has; write the key alone"),
        (b"s3" * MAX_BYTES, "is longer than any key; name the right file"),
    ],
)
def test_a_file_that_holds_no_key_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="; ") as refused:
        read_key(tmp_path, "key")
    assert str(refused.value) == f'"{path}" {reason}'
