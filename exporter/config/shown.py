"""The configuration as the page ``/config`` shows it: YAML without secrets, with the main defaults.

- A secret, and a password in a URL, is ``<secret>``.  So is the value of a key that ends in _file unless it is surely a
  path: people write the secret itself there by mistake.
- A string with variables is as it is written.  But text beside a variable may be a part of a secret or of a number:
  there only a string of nothing but variables is shown.
- Phone numbers are as `phone_number_label` says.

It is rendered when it is first asked for: for 50,000 numbers that takes more than half a second.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from exporter.config.durations import format_duration
from exporter.config.numbers import Labeller, parse_phone_number
from exporter.config.settings import (
    DEFAULT_ENDPOINT,
    DEFAULT_KEY_PREFIX,
    DEFAULT_LEASE_SECONDS,
    DEFAULT_QPS,
    DEFAULT_QUOTA,
    DEFAULT_SCRAPE_INTERVAL_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
)
from exporter.config.strict_yaml import (
    UNSHOWN,
    Document,
    Mapping,
    Scalar,
    Sequence,
    Variables,
    called,
    decode,
    escaped,
    expand,
    look_in_time,
    parse,
)

SECRET = "<secret>"  # noqa: S105 - what stands in the place of one

OPEN_KEYS = frozenset({"type", "role_arn", "oidc_provider_arn", "role_session_expiration", "policy"})
"""The keys of `credentials` that are shown, beside names of files.  Each other one may hold a secret by mistake."""

_SECRET_KEY = re.compile(r"(?:\w+_)?(?:key|password|secret|token)")
"""Keys whose values are secrets, wherever they stand."""

_VARIABLES_ONLY = re.compile(r"(?:\$\{[A-Za-z_][A-Za-z0-9_]*\}|:)*")
_USER = re.compile(r"(?<=//)[^/\s]*(?=@)")
_PLAIN = re.compile(r"[A-Za-z/<][A-Za-z0-9_./<>-]*|(?:[0-9]+(?:ms|[smhdwy]))+|https?://[A-Za-z0-9_.:/-]*[A-Za-z0-9/]")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""They are no strings in YAML."""

_LINES_AT_ONCE = 5000

Show = Callable[[str, str | None], str]
"""Makes what is shown of a string, and of how it is written if it holds variables."""

ShowOf = Callable[[str], Show]
"""How the value of a key is shown."""


_ROOT_DEFAULTS = {
    "scrape_interval": format_duration(DEFAULT_SCRAPE_INTERVAL_SECONDS),
    "phone_number_label": "full",
}
_API_DEFAULTS = {"endpoint": DEFAULT_ENDPOINT, "timeout": format_duration(DEFAULT_TIMEOUT_SECONDS)}
_CLUSTER_DEFAULTS = {"lease": format_duration(DEFAULT_LEASE_SECONDS), "key_prefix": DEFAULT_KEY_PREFIX}
_SECTION_DEFAULTS = {"api": _API_DEFAULTS, "cluster": _CLUSTER_DEFAULTS}
_ACCOUNT_DEFAULTS = {"qps": f"{DEFAULT_QPS:g}", "quota": f"{DEFAULT_QUOTA:g}"}


class Shown:
    """What is shown of a valid document.

    It keeps the file as it was read, and what is shown once that is known, both compressed: a document takes far more
    memory.
    """

    def __init__(self, document: Document, variables: Variables, labeller: Labeller) -> None:
        self._name, self._folder = document.name, document.folder
        self._content = zlib.compress(document.content, 1)
        self._variables = variables
        self._labeller = labeller

    def text(self) -> bytes:
        """The YAML."""
        return zlib.decompress(self._rendered)

    @functools.cached_property
    def _rendered(self) -> bytes:
        document = Document(self._name, self._folder)
        parse(document, decode(self._name, zlib.decompress(self._content)))
        expand(document, self._variables)
        lines = _Rendering(document, self._labeller).root()
        packing = zlib.compressobj(1)
        parts = []
        while some := list(itertools.islice(lines, _LINES_AT_ONCE)):
            parts.append(packing.compress(("\n".join(some) + "\n").encode("utf-8", "replace")))
        return b"".join([*parts, packing.flush()])


class _Rendering:
    """One rendering of one document.  Lines have no line break."""

    def __init__(self, document: Document, labeller: Labeller) -> None:
        self._document = document
        self._labeller = labeller

    def root(self) -> Iterator[str]:
        data = self._document.data
        for key in data:
            if key in _SECTION_DEFAULTS:
                yield f"{key}:"
                yield from _indented(
                    [*self._entries(data[key], self._of), *_missing(data[key], _SECTION_DEFAULTS[key])]
                )
            elif key == "accounts":
                yield "accounts:"
                for account in data[key]:
                    yield from _item(self._account(account))
            else:
                yield from self._entry(data, key, self._of)
        yield from _missing(data, _ROOT_DEFAULTS)
        if "api" not in data:
            yield "api:"
            yield from _indented(_missing({}, _API_DEFAULTS))

    def _account(self, account: Mapping) -> Iterator[str]:
        for key, value in account.items():
            if key == "credentials":
                yield "credentials:"
                for name in value:
                    yield from _indented(self._entry(value, name, self._of_credentials))
            elif key == "numbers":
                yield "numbers:"
                for number in value:
                    yield from _item(self._number(number))
            else:
                yield from self._entry(account, key, self._of)
        yield from _missing(account, _ACCOUNT_DEFAULTS)
        if "credentials" not in account:
            yield "credentials:"
            yield "  type: default"

    def _number(self, number: Mapping) -> Iterator[str]:
        for key in number:
            yield from self._entry(number, key, self._of_number)

    def _entries(self, node: Mapping, of: ShowOf) -> Iterator[str]:
        for key in node:
            yield from self._entry(node, key, of)

    def _entry(self, node: Mapping, key: str, of: ShowOf) -> Iterator[str]:
        """The lines of one key."""
        show = of(key)
        value = node[key]
        name = _scalar(key)
        if isinstance(value, str):
            written = self._document.written(node, key)
            yield f"{name}: {_scalar(show(value, written))}"
        elif isinstance(value, Mapping):
            yield f"{name}:" if value else f"{name}: {{}}"
            yield from _indented(self._entries(value, of))
        elif isinstance(value, Sequence):
            yield f"{name}:" if value else f"{name}: []"
            for index, item in enumerate(value):
                if isinstance(item, str):
                    yield f"- {_scalar(show(item, self._document.written(value, index)))}"
        else:
            yield f"{name}: {value.text if isinstance(value, Scalar) else 'null'}"

    def _of(self, key: str) -> Show:
        """How the value of a key is shown that belongs to no number and no credentials."""
        if key == "exclude":
            return self._label
        if key == "proxy":
            return self._proxy
        if key.endswith(("_file", "_file_path")):
            return self._path
        return self._hide if _SECRET_KEY.fullmatch(key) else self._show

    def _of_credentials(self, key: str) -> Show:
        return self._of(key) if key in OPEN_KEYS or key.endswith(("_file", "_file_path")) else self._hide

    def _of_number(self, key: str) -> Show:
        """Labels too, whose names mean nothing here; `phone_number` is none of them, since it is the exporter's."""
        return self._label if key == "phone_number" else self._show

    def _show(self, text: str, written: str | None) -> str:
        """An ordinary string."""
        return _USER.sub(lambda user: user[0] if _is_variables(user[0]) else SECRET, written or text)

    def _hide(self, _text: str, written: str | None) -> str:
        """A secret."""
        return written if written and _is_variables(written) else SECRET

    def _label(self, text: str, written: str | None) -> str:
        """A phone number."""
        if written and _is_variables(written):
            return written
        return self._labeller(parse_phone_number(text))

    def _proxy(self, text: str, written: str | None) -> str:
        """A proxy's URL, in which ``http://`` may be left out."""
        scheme, slashes, rest = (written or text).rpartition("//")
        user, at, host = rest.rpartition("@")
        return f"{scheme}{slashes}{user if not at or _is_variables(user) else SECRET}{at}{host}"

    def _path(self, text: str, written: str | None) -> str:
        """A file's name, which may be the secret itself by mistake."""
        if written and _is_variables(written):
            return written
        folder = self._document.folder
        path = folder / text
        try:
            is_path = look_in_time(path, lambda: called(folder, path)) != UNSHOWN
        except ValueError:  # the mount hangs
            is_path = False
        return (written or text) if is_path else SECRET


def _missing(node: Mapping | dict[str, Any], defaults: dict[str, str]) -> list[str]:
    return [f"{key}: {value}" for key, value in defaults.items() if key not in node]


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _item(lines: Iterator[str]) -> Iterator[str]:
    """The lines of an item of a list."""
    return (f"{'  ' if index else '- '}{line}" for index, line in enumerate(lines))


def _is_variables(text: str) -> bool:
    """Whether `text` is nothing but variables, and colons between them."""
    return bool(text) and _VARIABLES_ONLY.fullmatch(text) is not None


def _scalar(text: str) -> str:
    """A string as YAML: without quotes only where that is surely read as the same string."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return escaped(json.dumps(text, ensure_ascii=False))
