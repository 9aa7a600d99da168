"""Variables in the strings of a document: ``${NAME}`` becomes the environment's value, ``$$`` becomes ``$``.

A variable stands within a string, never for a key, a number, a boolean or a part of the structure.  Messages about
such a string show it as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Environment
from dataclasses import dataclass
from typing import Any

from exporter.config.strict_yaml.document import Document, KeyPath, Mapping, Sequence, Written

FLAG = "--config.expand-environment-variables"

REFERENCE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\{)")
"""A variable, an escaped ``$``, or a ``${`` that is neither."""

_REFUSED = (
    f"holds ${{...}}, and variables are not expanded without {FLAG}; give that flag, write the value itself, or put a "
    "secret into a file and name it with the key that ends in _file"
)
_MALFORMED = "holds ${ without a name and a }; write ${NAME}, or $$ for a $"
_NOT_TEXT = "holds a byte that is not UTF-8; set it to text"


@dataclass(frozen=True, slots=True)
class Variables:
    """What variables are expanded from; without an `environment` each is a fault.

    If they `may_be_unset`, a missing one is none: its string is not looked at.
    """

    environment: Environment[str, str] | None = None
    may_be_unset: bool = False


def expand(document: Document, variables: Variables) -> None:
    """Expand all strings of the document in place; faults go to the document."""
    _Expansion(document, variables).walk(document.data, ())


class _Expansion:
    """One pass over a document."""

    def __init__(self, document: Document, variables: Variables) -> None:
        self._document = document
        self._variables = variables
        self._seen: set[int] = set()  # an alias is the same object once more

    def walk(self, node: Any, path: KeyPath) -> None:
        """Expand all strings in `node`, which stands at `path`."""
        if not isinstance(node, Mapping | Sequence) or id(node) in self._seen:
            return
        self._seen.add(id(node))
        for step, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            if not isinstance(value, str):
                self.walk(value, (*path, step))
            elif "$" in value:
                node[step] = self._expanded(node, (*path, step), value)  # type: ignore[index] # a key or an index

    def _expanded(self, node: Mapping | Sequence, path: KeyPath, text: str) -> str:
        environment = self._variables.environment
        if environment is None:
            if "${" in text:
                self._refuse(node, path, text, _REFUSED)
            return text
        values: dict[str, str] = {}
        for match in REFERENCE.finditer(text):
            if match[0] == "$$":
                continue
            name = match["name"]
            if name is None:
                return self._refuse(node, path, text, _MALFORMED)
            value = environment.get(name)
            if value is None and self._variables.may_be_unset:
                return self._refuse(node, path, text, "")
            if value is None:
                return self._refuse(node, path, text, f"${{{name}}} is not set in the environment; set it")
            if any("\ud800" <= char <= "\udfff" for char in value):
                return self._refuse(node, path, text, f"${{{name}}} {_NOT_TEXT}")
            values[name] = value
        self._document.note_written(node, path[-1], Written(text, tuple(values.values())))
        return REFERENCE.sub(lambda match: values[match["name"]] if match["name"] else "$", text)

    def _refuse(self, node: Mapping | Sequence, path: KeyPath, text: str, fault: str) -> str:
        if fault:
            self._document.fault(path, fault)
        self._document.note_written(node, path[-1], Written(text, is_unknown=True))
        return text
