"""A YAML document as plain data, the line of each value, and the faults found in it.

It does not parse (`parse` does) and does not judge the data (`section` and its callers do).
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from exporter.errors import ConfigError

MAX_FAULTS = 100
"""How many faults or warnings of one file are shown.  The rest is counted."""

SHOWN_CHARACTERS = 80

SHOWN_IN_A_ROW = 6
"""So many letters and digits of a variable's value in a row give it away; of a shorter one, all of them."""

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys and list indices, from the root."""

Message = str | Callable[[], str]
"""A text, or a function that makes it where that takes long: a file can have a million faults, and 100 are shown."""

_WORD = re.compile("[A-Za-z_][A-Za-z _-]{0,25}[0-9]{0,2}")
_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class Scalar(NamedTuple):
    """A scalar that is neither a string nor nothing: a boolean, a number, or a date, which is not read (None)."""

    value: bool | int | float | None
    text: str
    """As it is written."""


class Mapping(dict[str, Any]):
    """A YAML mapping; `line` is where it begins, `lines` those of its keys in order, counted from 1."""

    __slots__ = ("_positions", "line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines = array("I")
        self._positions: dict[str | int, int] | None = None

    def put(self, key: str, value: Any, line: int) -> None:
        """Add a value."""
        self[key] = value
        self.lines.append(line)

    def position(self, key: str | int) -> int | None:
        """Which of `lines` belongs to `key`; None where there is no such key."""
        if self._positions is None or len(self._positions) != len(self):
            self._positions = {known: position for position, known in enumerate(self)}
        return self._positions.get(key)


class Sequence(list[Any]):
    """A YAML sequence; `line` is where it begins, `lines` those of its items, counted from 1."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines = array("I")

    def put(self, _index: int, value: Any, line: int) -> None:
        """Add an item at the end."""
        self.append(value)
        self.lines.append(line)

    def position(self, index: str | int) -> int | None:
        """`index` itself; None where there is no such item."""
        return index if isinstance(index, int) and 0 <= index < len(self) else None


class Written(NamedTuple):
    """A string with variables: the `text` as it is written, and the `values` put into it.

    `is_unknown` if it could not be expanded: what else is said of it has no meaning.
    """

    text: str
    values: tuple[str, ...] = ()
    is_unknown: bool = False

    def hidden(self, message: str, expanded: str, verdict: str) -> str:
        """`message`, which is about the `expanded` string, without what the variables hold.

        If it cannot be told without that, only the `verdict` is left of it.
        """
        message = message.replace(show(expanded), show(self.text))
        said = _bare(message)
        if any(_gives_away(said, _bare(value)) for value in self.values):
            return f"{show(self.text)} {verdict} with the values that its variables have; check them"
        return message


class _Fault(NamedTuple):
    line: int
    path: KeyPath
    message: Message
    first: KeyPath | str
    fatal: bool = True


class Document:
    """What one file holds, and what is wrong with it.

    `name` is the file as the user gave it.  Relative paths in the file start from `folder`, which is absolute.
    `data` is made of Mapping, Sequence, str, None and Scalar.  Without `reads_files` the files that it names are not
    looked at.  `files` are those that were read or looked for, except files for later.  `content` is the file as it
    was read, `digest` that of it; None if it can be read only once.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.data: Any = None
        self.content = b""
        self.digest: bytes | None = None
        self.reads_files = True
        self.files: list[Path] = []
        self._written: dict[tuple[int, str | int], Written] = {}
        self._faults: list[_Fault] = []
        self._warnings: list[_Fault] = []

    def line_of(self, path: KeyPath) -> int:
        """The line of the value at `path`; for a missing one, that of the mapping which lacks it."""
        node = self.data
        line: int = getattr(node, "line", 1)
        for step in path:
            position = node.position(step) if isinstance(node, Mapping | Sequence) else None
            if position is None:
                break
            line, node = node.lines[position], node[step]
        return line

    def fault(
        self, path: KeyPath, message: Message, *, line: int = 0, first: KeyPath | str = (), fatal: bool = True
    ) -> None:
        """Note that the value at `path` is wrong; `line` is its line where `path` is that of another value.

        `message` has the form ``what is wrong; what to write``.  ``{first}`` in it becomes `first`, or the line of
        the value at that path, if it is given.  With a fault that is not `fatal` the rest of the file can be used.
        """
        written = self._written_at(path)
        if written is None or not written[0].is_unknown:
            self._faults.append(_Fault(line or self.line_of(path), path, message, first, fatal))

    def note_written(self, node: Mapping | Sequence, step: str | int, written: Written) -> None:
        """Note how the string at `step` of `node` is written, which holds variables."""
        self._written[id(node), step] = written

    def written(self, node: Mapping | Sequence, step: str | int) -> str | None:
        """The string at `step` of `node` as it is written; None if it holds no variable."""
        found = self._written.get((id(node), step))
        return found.text if found is not None else None

    def _written_at(self, path: KeyPath) -> tuple[Written, str] | None:
        """How the string at `path` is written, and what it became."""
        node = self.data
        for step in path[:-1] if self._written else ():
            if not isinstance(node, Mapping | Sequence) or node.position(step) is None:
                return None
            node = node[step]  # type: ignore[index] # a key or an index
        found = self._written.get((id(node), path[-1])) if path and self._written else None
        return (found, node[path[-1]]) if found is not None else None

    def warn(self, path: KeyPath, message: str) -> None:
        """Note that the value at `path` is allowed but probably a mistake."""
        self._warnings.append(_Fault(self.line_of(path), path, message, ()))

    @property
    def is_faulty(self) -> bool:
        """Whether a fault was noted."""
        return bool(self._faults)

    def check(self, redact: Callable[[str], str] = str) -> list[str]:
        """The faults, in the order of the file; raises ConfigError with all of them if one is fatal.

        `redact` is applied to all text of the file that a message shows.
        """
        rendered = self._rendered(self._faults, redact, "is refused")
        if any(fault.fatal for fault in self._faults):
            raise ConfigError(rendered)
        return rendered

    def warnings(self) -> list[str]:
        """The warnings in the order of the file, in the form of faults."""
        return self._rendered(self._warnings, str, "is probably a mistake")

    def _rendered(self, faults: list[_Fault], redact: Callable[[str], str], verdict: str) -> list[str]:
        shown = sorted(faults, key=lambda fault: fault.line)[:MAX_FAULTS]
        lines = [f"{self.name}:{fault.line}: {self._worded(fault, redact, verdict)}" for fault in shown]
        more = len(faults) - MAX_FAULTS
        return [*lines, f"... and {more} more"] if more > 0 else lines

    def _worded(self, fault: _Fault, redact: Callable[[str], str], verdict: str) -> str:
        message = fault.message if isinstance(fault.message, str) else fault.message()
        written = self._written_at(fault.path)
        if written is not None:
            message = written[0].hidden(message, written[1], verdict)
        text = render_path(fault.path, redact) + redact(message)
        if not fault.first:
            return text
        return text.replace("{first}", fault.first if isinstance(fault.first, str) else str(self.line_of(fault.first)))


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _gives_away(said: str, value: str) -> bool:
    length = min(SHOWN_IN_A_ROW, len(value))
    return bool(value) and any(value[at : at + length] in said for at in range(len(value) - length + 1))


def render_path(path: KeyPath, redact: Callable[[str], str] = str) -> str:
    """``accounts[0].labels["odd key"]: ``, or nothing for the root."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _BARE_KEY.fullmatch(step):
            parts.append(f"{'.' if parts else ''}{redact(cut(step))}")
        else:
            parts.append(f"[{redact(show(step))}]")
    return "".join(parts) + ": " if parts else ""


def is_word(text: str) -> bool:
    """Whether `text` looks like a key or a choice.  One secret in a billion does."""
    return _WORD.fullmatch(text) is not None


def cut(text: str) -> str:
    """`text`; its beginning where it is too long for a message."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def show(text: str) -> str:
    """`text` in double quotes on one line, cut to a bounded length: safe in a log, whatever it holds."""
    return escaped(json.dumps(cut(text), ensure_ascii=False))


def escaped(quoted: str) -> str:
    """A text in double quotes with its characters that cannot be printed escaped, as YAML and JSON write them."""
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in quoted)


def _escape(char: str) -> str:
    """A character that cannot be printed, as YAML and JSON write it."""
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
