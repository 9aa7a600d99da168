"""Read one mapping of a document key by key.  Every fault goes to the document, and reading goes on.

A method returns the default where the key is absent, and None where its value is refused.  So a check that spans keys
can leave out what is wrong already.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from exporter.config.strict_yaml.document import Document, KeyPath, Mapping, Scalar, Sequence, cut, is_word, show
from exporter.config.strict_yaml.files import look_in_time, named, read_named

T = TypeVar("T")

CLOSE_SPELLING = 0.85
"""As difflib counts: of four letters one may be missing, of nine two may be too many."""

MILLION = 1_000_000

_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "a date",  # within a Scalar
    str: "a string",
    Mapping: "a mapping",
    Sequence: "a list",
}
_MAPPING_CURE = "write a mapping: KEY: VALUE lines, indented below it"
_LIST_CURE = 'write a list: entries that each begin with "- "'


class Section:
    """One mapping at `path`.  `keys` are those that it may have (None: any); another key is a fault at once.

    `misplaced` says where a key belongs that people write here by mistake.
    """

    __slots__ = ("_data", "document", "path")

    def __init__(
        self,
        document: Document,
        path: KeyPath,
        data: Mapping,
        keys: Collection[str] | None,
        misplaced: dict[str, str] | None = None,
    ) -> None:
        self.document = document
        self.path = path
        self._data = data
        if keys is not None:
            for key in data:
                if misplaced and key in misplaced:
                    self.fault(key, f"is not a key of this section; write it in {misplaced[key]}")
                elif key not in keys:
                    self._refuse_key(key, keys)

    @classmethod
    def root(cls, document: Document, keys: Collection[str], misplaced: dict[str, str] | None = None) -> Section | None:
        """The document's outermost mapping; None, and a fault, where it is none."""
        if document.data is None:
            document.fault((), "is empty; write KEY: VALUE lines")
        elif not isinstance(document.data, Mapping):
            document.fault((), f"the file is {_kind(document.data)}; {_MAPPING_CURE.partition(',')[0]}")
        else:
            return cls(document, (), document.data, keys, misplaced)
        return None

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def _refuse_key(self, key: str, keys: Collection[str]) -> None:
        if _may_be_shown(key, keys):
            self.document.fault((*self.path, key), lambda: f"unknown key; {meant(key, keys, 'the keys here are')}")
        else:
            what = f"holds an unknown key, not shown since it may be a secret; the keys here are {', '.join(keys)}"
            self.fault_of_hidden(key, what)

    def fault(self, key: str, message: str, first: KeyPath | str = (), *, fatal: bool = True) -> None:
        """Note that the value of `key` is wrong: ``what is wrong; what to write``."""
        self.document.fault((*self.path, key), message, first=first, fatal=fatal)

    def fault_of_hidden(self, key: str, message: str) -> None:
        """Note that `key` is wrong, at its line; its name is not shown, since it may be a secret."""
        self.document.fault(self.path, message, line=self.document.line_of((*self.path, key)))

    def warn(self, key: str, message: str) -> None:
        """Note that the value of `key` is allowed but probably a mistake."""
        self.document.warn((*self.path, key), message)

    def text(
        self,
        key: str,
        read: Callable[[str], T],
        default: T | None = None,
        *,
        required: str = "",
        secret: bool = False,
        unquoted: Callable[[str], str] | None = None,
    ) -> T | None:
        """What `read` makes of the string at `key`.  If it raises ValueError, the text of that is the fault.

        `required` is the cure where the key is absent (empty: it may be absent).  A `secret` is never shown.
        `unquoted` makes the fault for a number or a boolean from its text.
        """
        value = self._data.get(key)
        if isinstance(value, str):
            return self._parsed((*self.path, key), value, read)
        if key not in self._data:
            return self._absent(key, default, required)
        self._refuse(key, value, secret, unquoted)
        return None

    def _parsed(self, path: KeyPath, text: str, read: Callable[[str], T]) -> T | None:
        """What `read` makes of the text at `path`; None, and a fault, where it is refused."""
        try:
            return read(text)
        except ValueError as error:
            self.document.fault(path, str(error))
            return None

    def _refuse(self, key: str, value: Any, secret: bool, unquoted: Callable[[str], str] | None) -> None:
        """Say why what stands at `key` is no string."""
        if value is None:
            self.fault(key, f"{_is(value)}; write one, or remove the line")
        elif not isinstance(value, Scalar):
            self.fault(key, f"{_is(value)}; write a string")
        elif secret:
            self.fault(key, f"{_is(value)}; put it in double quotes")
        elif unquoted is not None:
            self.fault(key, unquoted(cut(value.text)))
        else:
            self.fault(key, f"{cut(value.text)} {_is(value)}; quote it: {show(value.text)}")

    def texts(self, key: str, read: Callable[[str], T]) -> tuple[T, ...] | None:
        """What `read` makes of each string of the list at `key`; empty where there is no list."""
        value = self._data.get(key)
        if value is None:
            return ()
        if not isinstance(value, Sequence):
            self.fault(key, f"is not a list; {_LIST_CURE}")
            return None
        found: list[T] = []
        for index, item in enumerate(value):
            path = (*self.path, key, index)
            if not isinstance(item, str):
                self.document.fault(path, "is not a string; write one, in double quotes")
            elif (parsed := self._parsed(path, item, read)) is not None:
                found.append(parsed)
        return tuple(found) if len(found) == len(value) else None

    def number(self, key: str, low: float, high: float, default: float) -> float | None:
        """The number at `key`, from `low` to `high`."""
        if key not in self._data:
            return default
        value = self._data[key]
        number = value.value if isinstance(value, Scalar) else None
        if number is None or isinstance(number, bool):
            self.fault(key, f"{_is(value)}; write a number{self._unquote(key)}")
            return None
        if not low <= number <= high or math.isnan(number):
            self.fault(key, f"{cut(value.text)} is out of range; write a number from {low:g} to {high:g}")
            return None
        return float(number)

    def whole_number(self, key: str, low: int, default: int, high: int = MILLION) -> int | None:
        """The whole number at `key`, from `low` to `high`."""
        if key not in self._data:
            return default
        value = self._data[key]
        number = value.value if isinstance(value, Scalar) else None
        most = "a million" if high == MILLION else str(high)  # in words: long digits would be redacted
        cure = f"write a whole number from {low} to {most}"
        if number is None or isinstance(number, bool):
            self.fault(key, f"{_is(value)}; {cure}{self._unquote(key)}")
        elif not isinstance(number, int) or not low <= number <= high:
            self.fault(key, f"{cut(value.text)} is out of range; {cure}")
        else:
            return number
        return None

    def boolean(self, key: str, default: bool | None = None) -> bool | None:
        """The boolean at `key`."""
        if key not in self._data:
            return default
        value = self._data[key]
        if isinstance(value, Scalar) and isinstance(value.value, bool):
            return value.value
        self.fault(key, f"{_is(value)}; write true or false{self._unquote(key)}")
        return None

    def given(self, key: str) -> str:
        """Which of `key` and `key`_file is there; the latter where neither is, and where both are, which is a fault."""
        if key not in self._data:
            return f"{key}_file"
        if f"{key}_file" not in self._data:
            return key
        self.fault(f"{key}_file", f"{key} is given as well; remove one of the two")
        return f"{key}_file"

    def value(self, key: str) -> Any:
        """What stands at `key`, whatever it is; None where nothing does."""
        return self._data.get(key)

    def written(self, key: str) -> str:
        """The string at `key` as it is written; empty if it holds no variable."""
        return self.document.written(self._data, key) or ""

    def integer_text(self, key: str) -> str:
        """The integer at `key` as it is written; empty where there is none."""
        value = self._data.get(key)
        return value.text if isinstance(value, Scalar) and type(value.value) is int else ""

    def file(self, key: str) -> Path | None:
        """The absolute path of the file named at `key`, which is readable and not empty."""
        found = self._file(key, 1)
        return found[0] if found else None

    def content(self, key: str, max_bytes: int) -> bytes | None:
        """The first `max_bytes` of the file named at `key`; None also where files are not looked at."""
        found = self._file(key, max_bytes)
        return (found[1] or None) if found else None

    def file_for_later(self, key: str, look: Callable[[Path, str], object], *, required: str = "") -> Path | None:
        """The absolute path of a file that is read later, and may be created until then.

        `look` gets the document's folder and the file's name.  Its ValueError is a fault that is not fatal.
        """

        def read(name: str) -> Path:
            path = named(self.document.folder, name)
            if self.document.reads_files:
                try:
                    look_in_time(path, partial(look, self.document.folder, name))
                except ValueError as error:
                    self.fault(key, str(error), fatal=False)
            return path

        return self.text(key, read, required=required, secret=True)

    def section(self, key: str, keys: Collection[str] | None) -> Section | None:
        """The mapping at `key`, if there is one."""
        if key not in self._data:
            return None
        value = self._data[key]
        if not isinstance(value, Mapping):
            self.fault(key, f"{_is(value)}; {_MAPPING_CURE}")
            return None
        return Section(self.document, (*self.path, key), value, keys)

    def sections(self, key: str, keys: Collection[str], *, required: str) -> Iterator[Section]:
        """The mappings of the list at `key`, which must hold one or more; anything else is a fault."""
        if key in self._data:
            yield from entries(self.document, (*self.path, key), self._data[key], keys, required or "remove the line")
        else:
            self._absent(key, None, required)

    def _file(self, key: str, max_bytes: int) -> tuple[Path, bytes] | None:
        """The path and the beginning of the file named at `key`; without bytes where files are not looked at."""
        folder, files = self.document.folder, self.document.files

        def read(name: str) -> tuple[Path, bytes]:
            path = named(folder, name)
            files.append(path)
            return read_named(folder, name, max_bytes) if self.document.reads_files else (path, b"")

        return self.text(key, read, secret=True)

    def _unquote(self, key: str) -> str:
        """How to write the value of `key`, which is no string, if it is one."""
        if self.written(key):
            return " itself, since a variable gives a string"
        return " without quotes" if isinstance(self._data[key], str) else ""

    def _absent(self, key: str, default: T | None, required: str) -> T | None:
        if required:
            self.fault(key, f"is missing; {required}")
        return default


def entries(document: Document, path: KeyPath, value: Any, keys: Collection[str], cure: str) -> Iterator[Section]:
    """The mappings of the list `value`, which stands at `path`; it must hold one or more."""
    subject = "" if path else "the file "
    if not isinstance(value, Sequence):
        document.fault(path, f"{subject}{_is(value)}; {_LIST_CURE}")
    elif not value:
        document.fault(path, f"{subject}is empty; {cure}")
    else:
        for index, item in enumerate(value):
            if isinstance(item, Mapping):
                yield Section(document, (*path, index), item, keys)
            else:
                document.fault((*path, index), f"{_is(item)}; {_MAPPING_CURE.partition(',')[0]}")


def one_of(choices: Collection[str], unknown: str = "") -> Callable[[str], str]:
    """A reader for `Section.text` that accepts exactly these.

    With `unknown` the fault begins with that and the text; else it shows the text only if that is surely no secret.
    """

    def read(text: str) -> str:
        if text in choices:
            return text
        shown = f"{show(text)} " if _may_be_shown(text, choices) else ""
        what = f"{unknown}: {show(text)}" if unknown else f"{shown}is not known"
        raise ValueError(f"{what}; {meant(text, choices, 'write one of')}")

    return read


def _may_be_shown(text: str, choices: Collection[str]) -> bool:
    """Whether `text` may be shown: a word, or nearly one of `choices`, and hence no secret."""
    is_name = bool(re.fullmatch(r"\w{1,64}", text, re.ASCII))
    return is_word(text) or (is_name and nearest(text, choices) is not None)


def meant(text: str, choices: Collection[str], otherwise: str) -> str:
    """The cure for an unknown word: the choice that is spelled nearly the same, if there is one, and all choices."""
    match = nearest(text, choices)
    guess = f"did you mean '{match}'? " if match else ""
    return f"{guess}{otherwise} {', '.join(choices)}"


def nearest(text: str, choices: Collection[str]) -> str | None:
    """The choice that differs from `text` by a letter or two, by case, or by signs between words; None if none does."""
    spelled = {_bare(choice): choice for choice in choices}
    matches = difflib.get_close_matches(_bare(text[:100]), spelled, n=1, cutoff=CLOSE_SPELLING)
    return spelled[matches[0]] if matches else None


def _bare(text: str) -> str:
    return re.sub("[ _.-]", "", text).casefold()


def _kind(value: Any) -> str:
    return _KINDS[type(value.value if isinstance(value, Scalar) else value)]


def _is(value: Any) -> str:
    """What is wrong with the type of a value; does not show the value."""
    return "has no value" if value is None else f"is {_kind(value)}"
