"""Build the tree of a document from parser events: iteratively, counting depth and values, resolving scalars.

Source: YAML 1.1 as PyYAML resolves it.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from exporter.config.strict_yaml.document import DATE, Document, KeyPath, Mapping, Sequence, is_word, show
from exporter.errors import ConfigError

MAX_DEPTH = 32
MAX_VALUES = 1_500_000
"""Keys, values and containers, each alias counted as all that it stands for."""

MAX_NUMBER_CHARACTERS = 100
"""A longer number is infinite: Python refuses to read 4300 digits, and base 60 takes quadratic time."""

MAX_SHOWN_NUMBER = 17
"""Characters of a number that stands where a key should, as people write phone numbers and dates."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {None, _TAG + "str", _TAG + "map", _TAG + "seq"}
_NOT_STRINGS = {_TAG + kind for kind in ("null", "bool", "int", "float", "timestamp", "merge")}
_KNOWN_TAGS = _NOT_STRINGS | {_TAG + kind for kind in ("binary", "omap", "pairs", "set", "value")}
_RESOLVERS: Final[dict[str, list[tuple[str, Any]]]] = yaml.SafeLoader.yaml_implicit_resolvers
_CONSTRUCTOR: Final[Any] = yaml.constructor.SafeConstructor()


class _Anchored(NamedTuple):
    """What an alias stands for; `height` is the levels of containers, `values` their number."""

    value: Any
    text: str | None
    height: int
    values: int


class _Open:
    """A container whose end has not come yet."""

    __slots__ = ("anchor", "container", "height", "key", "key_line", "values_before")

    def __init__(self, container: Mapping | Sequence, anchor: str | None, values_before: int) -> None:
        self.container = container
        self.anchor = anchor
        self.values_before = values_before
        self.height = 1
        self.key: str | None = None  # of a mapping: the key whose value comes next
        self.key_line = 0  # 0 while a key comes next


class Tree:
    """Takes the events of one document, in order, and leaves the finished tree in it."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None while the container is still open
        self._last_strings: dict[str, str] = {}
        self._values = 0
        self._documents = 0
        self._line = 1
        self._actions = {
            yaml.DocumentStartEvent: self._document_start,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
        }

    def take(self, event: Any) -> None:
        """Go on by one event; raises ConfigError where a limit is passed or the rest would make no sense."""
        action = self._actions.get(type(event))
        if action is not None:
            self._line = event.start_mark.line + 1
            action(event)

    def _abort(self, message: str) -> NoReturn:
        raise ConfigError([f"{self._document.name}:{self._line}: {message}"])

    def _document_start(self, _event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._abort("begins a second document; remove the line --- or what follows it")

    def _start(self, event: Any) -> None:
        self._check_tag(event)
        container = Mapping(self._line) if type(event) is yaml.MappingStartEvent else Sequence(self._line)
        self._open.append(_Open(container, event.anchor, self._values))
        self._count(1, 0)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _end(self, _event: Any) -> None:
        done = self._open.pop()
        if done.anchor is not None:
            values = self._values - done.values_before
            self._anchors[done.anchor] = _Anchored(done.container, None, done.height, values)
        self._add(done.container, None, done.container.line, done.height)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            self._abort("refers to an anchor that is not defined above; define it with &, or quote the text")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._abort("is an alias of what it stands in, without end; write the value out")
        self._count(anchored.values, anchored.height)
        self._add(anchored.value, anchored.text, self._line, anchored.height)

    def _scalar(self, event: Any) -> None:
        self._count(1, 0)
        value, text = event.value, None
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            self._abort("holds half a surrogate pair; write the character itself, or \\U and eight digits")
        if event.tag is not None:
            self._check_tag(event)
        elif event.implicit[0]:
            value, text = self._resolve(value)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, text, 0, 1)
        self._add(value, text, self._line, 0)

    def _count(self, values: int, height: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._abort("holds too many values, aliases counted; check that it is the right file")
        if len(self._open) + height > MAX_DEPTH:
            self._abort(f"is nested deeper than {MAX_DEPTH} levels; check the brackets and the indentation")

    def _check_tag(self, event: Any) -> None:
        if event.tag not in _PLAIN_TAGS:
            shown = (
                f" {show(event.tag.replace(_TAG, '!!', 1))}" if event.tag in _KNOWN_TAGS else ""
            )  # else it may be a secret
            self._fault(f"the tag{shown} is not supported; remove it, or quote what begins with !")

    def _resolve(self, text: str) -> tuple[Any, str | None]:
        """The value of a plain scalar, and the text if that value is not the text itself."""
        tag = next((tag for tag, pattern in _RESOLVERS.get(text[:1], ()) if pattern.match(text)), None)
        if tag not in _NOT_STRINGS:
            return text, None
        kind = tag.removeprefix(_TAG)
        if kind == "merge":
            return text, text
        if kind == "timestamp":
            return DATE, text
        if len(text) > MAX_NUMBER_CHARACTERS:
            return math.inf, text
        try:
            return getattr(_CONSTRUCTOR, f"construct_yaml_{kind}")(yaml.ScalarNode(tag, text)), text
        except ValueError:  # 0x_ and 0b_ pass PyYAML's pattern for a number
            return math.inf, text

    def _add(self, value: Any, text: str | None, line: int, height: int) -> None:
        """Put a finished value where it belongs: the root, a sequence, or a mapping's key or value."""
        if not self._open:
            self._document.data = value
            return
        parent = self._open[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.container, Sequence):
            parent.container.put(value, line, text)
        elif not parent.key_line:
            parent.key = self._key(parent.container, value, text, line)
            parent.key_line = line
        else:
            if parent.key is not None:
                parent.container.put(parent.key, self._shared(parent.key, value), parent.key_line, text)
            parent.key_line = 0

    def _shared(self, key: str, value: Any) -> Any:
        """`value`, or the equal string last seen under the same key: one in memory instead of 50,000."""
        if not isinstance(value, str):
            return value
        last = self._last_strings.get(key)
        if last == value:
            return last
        self._last_strings[key] = value
        return value

    def _key(self, mapping: Mapping, value: Any, text: str | None, line: int) -> str | None:
        """The key, or None for one that is refused, whose value is dropped."""
        if isinstance(value, str) and text is None and value not in mapping:
            return sys.intern(value)
        path = self._path()
        if text == "<<":
            self._document.fault(path, "merge keys (<<) are not supported; write the keys out", line=line)
        elif not isinstance(value, str):
            self._document.fault(path, _no_key(text), line=line)
        else:
            first = (*path, value)
            what = "is given twice, first in line {first}; keep one"
            shown, what = (first, what) if is_word(value) else (path, f"a key {what}")  # else it may be a secret
            self._document.fault(shown, what, line=line, first=first)
        return None

    def _path(self) -> KeyPath:
        """Where the next value goes; for a mapping's key, the mapping."""
        steps: list[str | int] = []
        for level in self._open:
            if isinstance(level.container, Sequence):
                steps.append(len(level.container))
            elif level.key_line and level.key is not None:
                steps.append(level.key)
        return tuple(steps)

    def _fault(self, message: str) -> None:
        self._document.fault(self._path(), message, line=self._line)


def _no_key(text: str | None) -> str:
    """What is wrong with a key that is no string, written as `text`; a long number is not shown, it may be a secret."""
    what = "a list or mapping" if text is None else text or "nothing"
    cure = f"quote it: {show(text)}" if text else "write KEY: VALUE"
    if text and len(text) > MAX_SHOWN_NUMBER:
        what, cure = "a number", "quote it"
    return f"{what} is no string, as a key has to be; {cure}"
