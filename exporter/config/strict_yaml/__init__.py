"""Strict YAML: a file becomes plain data whose values know their lines, and reading it finds all faults at once.

::

    load(path) -> Document      `parse`, `composer`: text to data, within limits on size and depth;
                                `streams`: pipes and standard input
    Section(document, ...)      `section`: one mapping, read key by key; it gives its faults to the document
    document.check()            `document`: raises ConfigError with all faults, in the order of the file
    expand(document, ...)       `variables`: put the environment's values into its strings
    read_named(folder, name)    `files`: a file that a document names

It does not know what a configuration means.  The exporter's own and the web server's are both read with it.

Validation libraries were measured and left out.  voluptuous, cattrs and pydantic skip the checks that span fields
(`qps` within `quota`, duplicate numbers) as soon as one field is wrong: a user would not see all faults at once.  None
of them can show a number as it was written.
"""

from __future__ import annotations

from exporter.config.strict_yaml.document import Document, KeyPath, Mapping, Scalar, Sequence, escaped, is_word, show
from exporter.config.strict_yaml.files import UNSHOWN, called, look_in_time, read_named, read_regular, unreadable
from exporter.config.strict_yaml.parse import MAX_BYTES, decode, digest, load, parse, too_large
from exporter.config.strict_yaml.section import Section, entries, nearest, one_of
from exporter.config.strict_yaml.variables import Variables, expand

__all__ = [
    "MAX_BYTES",
    "UNSHOWN",
    "Document",
    "KeyPath",
    "Mapping",
    "Scalar",
    "Section",
    "Sequence",
    "Variables",
    "called",
    "decode",
    "digest",
    "entries",
    "escaped",
    "expand",
    "is_word",
    "load",
    "look_in_time",
    "nearest",
    "one_of",
    "parse",
    "read_named",
    "read_regular",
    "show",
    "too_large",
    "unreadable",
]
