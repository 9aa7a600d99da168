"""Read one YAML file as a document, within limits.

Stricter than YAML, since a configuration is no place for surprises: a duplicate key, a key that is no string, a merge
key, a tag, a date, an anchor defined twice and a second document are faults.

Source: YAML 1.1 as PyYAML resolves it, and the behaviour of libyaml 0.2.5.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.strict_yaml.composer import Composer
from exporter.config.strict_yaml.document import Document
from exporter.config.strict_yaml.files import read_regular
from exporter.config.strict_yaml.streams import is_stream, read_stream
from exporter.errors import ConfigError

MAX_BYTES = 16 * 1024 * 1024
"""Some 100,000 numbers with a name and two labels each."""

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, where PyYAML was built with it: 30 times as fast."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

_HINTS = (
    ("mapping values are not allowed", 'check the indentation, and quote a text that holds ": "'),
    ("found character", "indent with spaces, and quote a text that begins with @, `, % or a tab"),
    ("found a tab", "indent with spaces"),
    ("found unexpected end", "close the quote"),
    ("found unknown escape", "write \\\\ for a backslash, or use single quotes"),
    ("found invalid Unicode", "write the character itself"),
    ("found undefined tag", "remove the tag, or quote a text that begins with !"),
)
_REFUSALS = {
    "found undefined alias": "refers to an anchor that is not defined above; define it with &, or quote the text",
    "second occurrence": "defines an anchor that is defined above already; write another name",
    "but found another document": "begins a second document; remove the line --- or what follows it",
}
"""Why PyYAML's composer refuses a text that its parser accepts."""


def load(path: Path, max_bytes: int = MAX_BYTES, *, streams: bool = False) -> Document:
    """The document in `path`; raises ConfigError where the file cannot be read or is no YAML.

    All other faults stay in the document: `Document.check` raises them.  With `streams` the file may be a pipe or
    standard input: then relative paths start from the working folder, and the document has no digest.
    """
    is_once = streams and is_stream(path)
    folder = Path.cwd() if is_once else Path(os.path.abspath(path)).parent  # noqa: PTH100 - links stay as they are named
    document = Document(str(path), folder)
    content = _read(path, max_bytes, read_stream if is_once else read_regular)
    document.content = content
    document.digest = None if is_once else hashlib.sha256(content).digest()
    parse(document, decode(document.name, content))
    return document


def digest(path: Path) -> bytes:
    """That of the document in `path` now; differs also where the file cannot be read."""
    try:
        return hashlib.sha256(_read(path, MAX_BYTES, read_regular)).digest()
    except ConfigError as error:
        return str(error).encode()


def parse(document: Document, text: str, loader: Any = LOADER) -> None:
    """Fill the document from `text`, which holds only characters that YAML allows; raises ConfigError."""
    try:
        type("BoundedLoader", (Composer, loader), {})(document, text).compose()
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax(document.name, error)]) from None
    except (yaml.YAMLError, ValueError, OverflowError):  # the Python parser's chr() of any escape
        raise ConfigError([f"{document.name}: is not valid YAML; check its \\u and \\U escapes"]) from None


def _read(path: Path, max_bytes: int, read: Callable[[Path, int], bytes]) -> bytes:
    try:
        content = read(path, max_bytes + 1)
    except ValueError as error:
        raise ConfigError([f"{path}: {error}".replace("\0", "\\0")]) from None
    if len(content) > max_bytes:
        raise ConfigError([f"{path}: {too_large(max_bytes)}"])
    return content


def too_large(max_bytes: int) -> str:
    """Why a file of more than `max_bytes` is refused."""
    limit = f"{max_bytes // 1024**2} MiB" if max_bytes >= 1024**2 else f"{max_bytes} bytes"
    return f"is larger than {limit}; check that it is the right file, or split it"


def decode(name: str, content: bytes) -> str:
    """The text of the file `name`, which may begin with a BOM; raises ConfigError where it is no UTF-8 text."""
    if content.startswith(_WIDE_MARKS):
        raise ConfigError([f"{name}: is UTF-16 or UTF-32 text; save it as UTF-8"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        message = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError([f"{name}:{line}: {message}"]) from None
    if odd := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        character = f"the control character U+{ord(odd[0]):04X}"
        raise ConfigError([f"{name}:{line}: holds {character}; check that it is a text file, and remove it"])
    return text


def _syntax(name: str, error: yaml.MarkedYAMLError) -> str:
    problem = (error.problem or "unreadable").replace("\n", " ")
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if refusal := next((text for start, text in _REFUSALS.items() if problem.startswith(start)), ""):
        return f"{name}:{line}: {refusal}"
    context = (error.context or "").removeprefix("while scanning for the next token")
    if context and error.context_mark and error.context_mark.line + 1 != line:
        context += f" that begins in line {error.context_mark.line + 1}"
    cure = next((hint for start, hint in _HINTS if problem.startswith(start)), "")
    return (
        f"{name}:{line}: is not valid YAML: {problem}{', ' if context else ''}{context}; "
        f"{cure or 'check the indentation, the quotes and the brackets here and above'}"
    )
