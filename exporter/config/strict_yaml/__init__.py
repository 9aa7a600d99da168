"""Strict YAML: a file becomes plain data whose every value knows its line, read with every fault at once.

::

    load(path) -> Document      `parse`, `composer`: text to data, within limits on size and depth
    Section(document, ...)      `section`: one mapping, read key by key; its faults go to the document
    document.check()            `document`: raises ConfigError with all faults in the order of the file
    read_named(folder, name)    `files`: a file that a document names

Knows nothing of what a configuration means: the exporter's own and the web server's both build on it.

A validation library was measured and left out: voluptuous, cattrs and pydantic all skip the checks that span
fields (`qps` within `quota`, duplicate numbers) as soon as one field beside them is wrong, so that faults
come in instalments, and none of them can show a number as it was written.
"""

from __future__ import annotations

from exporter.config.strict_yaml.document import Document, KeyPath, Mapping, is_word, show
from exporter.config.strict_yaml.files import UNSHOWN, called, look_in_time, read_named
from exporter.config.strict_yaml.parse import load
from exporter.config.strict_yaml.section import Section, meant, one_of

__all__ = [
    "UNSHOWN",
    "Document",
    "KeyPath",
    "Mapping",
    "Section",
    "called",
    "is_word",
    "load",
    "look_in_time",
    "meant",
    "one_of",
    "read_named",
    "show",
]
