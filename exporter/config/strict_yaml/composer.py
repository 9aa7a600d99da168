"""Make plain data of the nodes that PyYAML composes, within limits on depth and size.

A node takes 400 bytes, and 50,000 numbers have 650,000 nodes: 180 MB more than the data made of them.  So an item, or a
key with its value, becomes plain data as soon as the next one begins.  Only a few nodes exist at a time.

An alias has the node of its anchor, and PyYAML does not say where the alias stands.  In a list it gets the line of the
item before it, or that of the list.

Source: YAML 1.1 as PyYAML resolves it.  A ``!`` alone is no tag there.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Final, NoReturn

import yaml

from exporter.config.strict_yaml.document import Document, KeyPath, Mapping, Scalar, Sequence, is_word, show
from exporter.errors import ConfigError

MAX_DEPTH = 32
MAX_VALUES = 1_500_000
"""Keys, values and containers, each alias counted as all that it stands for."""

MAX_NUMBER_CHARACTERS = 100
"""A longer number is read as infinite: Python refuses to read 4300 digits, and base 60 takes quadratic time."""

MAX_SHOWN_NUMBER = 17
"""Characters of a number that a message shows where a key should stand: long enough for phone numbers and dates."""

_TAG = "tag:yaml.org,2002:"
_KINDS = {_TAG + kind: (kind,) for kind in ("null", "bool", "int", "float", "timestamp")}
"""The tags of plain scalars that are no strings, and what `resolve` makes of them.

They become tuples: a tag that the file itself gives is a string.
"""

_HARMLESS_TAGS = {None, _TAG + "str", _TAG + "map", _TAG + "seq"}
_KNOWN_TAGS = {*_KINDS, *(_TAG + kind for kind in ("binary", "merge", "omap", "pairs", "set", "value"))}
_CONSTRUCTOR: Final[Any] = yaml.constructor.SafeConstructor()


class Composer:
    """A mixin for a loader of PyYAML: it overrides methods that the loader calls while it composes nodes.

    The node of a container gets two attributes: its `data`, and how many `values` it has, itself included.
    """

    def __init__(self, document: Document, text: str) -> None:
        super().__init__(text)  # type: ignore[call-arg] # the loader's
        self._document = document
        self._open: list[tuple[Any, Any]] = []  # the containers above the current one, each with the step down from it

    def compose(self) -> None:
        """Fill the document; raises ConfigError where a limit is passed, yaml.YAMLError where the text is no YAML."""
        root = self.get_single_node()  # type: ignore[attr-defined] # the loader's
        if root is not None:
            self._document.data = self._read(root, None, None, root.start_mark.line + 1)

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """The loader begins a node.  `index` is an item's place in `parent`, or a value's key; None for a key."""
        if parent is not None:
            if len(self._open) > MAX_DEPTH:
                what = f"is nested deeper than {MAX_DEPTH} levels; check the brackets and the indentation"
                self._abort(parent.start_mark.line + 1, what)
            if parent.value:
                self._take(parent)
        self._open.append((parent, index))

    def ascend_resolver(self) -> None:
        """The loader has finished a node."""
        self._open.pop()

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node for which the file gives none: one of `_KINDS`, or None for a string or a container."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            return None
        return _KINDS.get(super().resolve(kind, value, implicit))  # type: ignore[misc] # the loader's

    def _take(self, node: Any) -> None:
        """Move the finished children of the current container from its node to its data."""
        is_mapping = isinstance(node, yaml.MappingNode)
        line = node.start_mark.line + 1
        if not hasattr(node, "data"):
            self._check_tag(node, None, line)
            node.data = Mapping(line) if is_mapping else Sequence(line)
            node.values = 1
        data = node.data
        if data.lines:
            line = data.lines[-1]
        for child in node.value:
            first, last = child if is_mapping else (child, child)
            line = max(line, first.start_mark.line + 1)
            step = self._key(first, node, line) if is_mapping else len(data)
            value = self._read(last, node, step, line)
            if step is not None:
                data.put(step, value, line)
        node.value.clear()
        if node.values > MAX_VALUES:
            self._abort(line, "holds too many values, aliases counted; check that it is the right file")

    def _read(self, node: Any, parent: Any, step: str | int | None, line: int) -> Any:
        """The value of a finished node, which stands at `step` of `parent`."""
        if isinstance(node, yaml.ScalarNode):
            if parent is not None:
                parent.values += 1
            return node.value if not node.tag and node.value.isascii() else self._scalar(node, step, line)
        self._open.append((parent, step))
        if any(node is container for container, _ in self._open):
            self._abort(line, "is an alias of what it stands in, without end; write the value out")
        self._take(node)
        self._open.pop()
        if parent is not None:
            parent.values += node.values
        return node.data

    def _scalar(self, node: Any, step: str | int | None, line: int) -> str | Scalar | None:
        text: str = node.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._abort(line, "holds half a surrogate pair; write the character itself, or \\U and eight digits")
        if not isinstance(node.tag, tuple):
            self._check_tag(node, step, line)
            return text
        (kind,) = node.tag
        if kind == "null":
            return None
        if kind == "timestamp":
            return Scalar(None, text)
        if len(text) > MAX_NUMBER_CHARACTERS:
            return Scalar(math.inf, text)
        try:
            return Scalar(getattr(_CONSTRUCTOR, f"construct_yaml_{kind}")(node), text)
        except ValueError:  # 0x_ and 0b_ pass PyYAML's pattern for a number
            return Scalar(math.inf, text)

    def _key(self, node: Any, parent: Any, line: int) -> str | None:
        """The key; None where it is refused, and then its value is dropped."""
        key = self._read(node, parent, None, line)
        if isinstance(key, str) and key not in parent.data and key != "<<":
            return sys.intern(key)
        path = self._path()
        if not isinstance(key, str):
            self._document.fault(path, _no_key(node.value if isinstance(node, yaml.ScalarNode) else None), line=line)
        elif key == "<<":
            self._document.fault(path, "merge keys (<<) are not supported; write the keys out", line=line)
        else:
            first = (*path, key)
            what = "is given twice, first in line {first}; keep one"
            shown, what = (first, what) if is_word(key) else (path, f"a key {what}")  # else it may be a secret
            self._document.fault(shown, what, line=line, first=first)
        return None

    def _check_tag(self, node: Any, step: str | int | None, line: int) -> None:
        if node.tag not in _HARMLESS_TAGS:
            is_known = node.tag in _KNOWN_TAGS  # else it may be a secret
            shown = f" {show(node.tag.replace(_TAG, '!!', 1))}" if is_known else ""
            message = f"the tag{shown} is not supported; remove it, or quote what begins with !"
            self._document.fault(self._path(step), message, line=line)

    def _path(self, last: str | int | None = None) -> KeyPath:
        """The path of the current container, or one step further; for a key, that of its mapping."""
        steps = (*(step for _, step in self._open), last)
        texts = (step.value if isinstance(step, yaml.ScalarNode) and not step.tag else step for step in steps)
        return tuple(step for step in texts if isinstance(step, str | int))

    def _abort(self, line: int, message: str) -> NoReturn:
        raise ConfigError([f"{self._document.name}:{line}: {message}"])


def _no_key(text: str | None) -> str:
    """What is wrong with a key that is no string, written as `text`; a long number is not shown, it may be a secret."""
    what = "a list or mapping" if text is None else text or "nothing"
    cure = f"quote it: {show(text)}" if text else "write KEY: VALUE"
    if text and len(text) > MAX_SHOWN_NUMBER:
        what, cure = "a number", "quote it"
    return f"{what} is no string, as a key has to be; {cure}"
