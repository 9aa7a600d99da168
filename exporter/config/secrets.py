"""Keys and tokens: whether a text can be one, and if not, why not.

Each function raises ValueError whose text is ``what is wrong; what to write``.  That never shows the secret.

Source: Alibaba Cloud's RAM documentation: the CSV file that the console offers, and the names in its examples.
"""

from __future__ import annotations

import re
from pathlib import Path

from exporter.config.strict_yaml import called, read_named, show

MAX_BYTES = 64 << 10
"""STS tokens have about a thousand."""

_WIDE = (b"\xff\xfe", b"\xfe\xff")
_ASSIGNED = re.compile(r"(?:export\s+)?[A-Za-z_]*(?:key|secret|token|id)[A-Za-z_]*\s*[=:]\s*[^=\s]", re.IGNORECASE)
_MAX_NAME = 200
_PLACEHOLDER = re.compile(
    r"<.*>|\[.*\]|\{\{.*\}\}|%[^%]*%|\$\(?\w+\)?|.*\$\{.*|(.)\1{3,}|.*(?:\.\.\.|\*\*\*).*|your.*"
    r"|(?:change|replace|fill|insert)[\W_]?(?:me|this|it|in|with|your).*|todo|tbd|placeholder|dummy|example",
    re.IGNORECASE,
)


def parse_key(text: str) -> str:
    """A key or token as it is."""
    if not text:
        raise ValueError("is empty; write the key")
    if is_placeholder(text):
        raise ValueError("is a placeholder; write the real key")
    if text[0] == "{" and text[-1] == "}":
        raise ValueError("is JSON; write the value alone")
    if "," in text and "accesskey" in re.sub("[ _]", "", text).lower():
        raise ValueError("is the console's CSV file; write the ID alone to one file and the secret alone to another")
    if (lines := len(text.splitlines())) > 1:
        raise ValueError(f"holds {lines} lines; write the key alone, on one line")
    if _ASSIGNED.match(text[:_MAX_NAME]):
        raise ValueError("holds a name and a value; write the value alone")
    if text[0] in "\"'" or text[-1] in "\"'":
        raise ValueError("is in quotes that would count as a part of it; write the key without them")
    if "," in text:
        raise ValueError("holds a comma, which no key has; write the ID and the secret apart")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a space or another character that no key has; write the key alone")
    return text


def is_placeholder(text: str) -> bool:
    """Whether `text` only marks the place of a key: ``<secret>``, ``${VAR}``, ``YourAccessKeyId``, ``****``."""
    return bool(_PLACEHOLDER.fullmatch(text))


def read_key(folder: Path, name: str, written: str = "") -> str:
    """The key or token in a file, without a BOM or white space at the end; a relative `name` starts from `folder`.

    A ValueError shows `written`, if it is given, in place of the file.
    """
    try:
        path, content = read_named(folder, name, MAX_BYTES + 1)
        try:
            return _key_in(content)
        except ValueError as error:
            raise ValueError(f"{called(folder, path)} {error}") from None
    except ValueError as error:
        if not written:
            raise
        raise ValueError(str(error).replace(called(folder, folder / name), show(written))) from None


def _key_in(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise ValueError("is longer than any key; name the right file")
    if content.startswith(_WIDE):
        raise ValueError("is UTF-16 text; save it as UTF-8")
    text = content.decode("utf-8-sig", "replace").rstrip()
    if not text:
        raise ValueError("holds nothing; write the key to it")
    return parse_key(text)
