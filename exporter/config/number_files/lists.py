"""Read the numbers of one file, and find those that another list of the account has too."""

from __future__ import annotations

import hashlib
import re
from array import array
from pathlib import Path

from exporter.config.number_files.csv_rows import read_rows
from exporter.config.number_files.files import CSV, Content
from exporter.config.numbers import NUMBER_KEYS, NumberReader, Places
from exporter.config.settings import NumberFiles, NumberList
from exporter.config.strict_yaml import Document, Sequence, decode, entries, parse
from exporter.errors import ConfigError
from exporter.model import PhoneNumber

_CURE = 'write a list of "- phone_number: ..." entries'
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)


class FileList:
    """The numbers of one file, as far as they can be read, and its faults.

    Its name is shown with each fault.  Raises ConfigError where the content is no text, or no list.
    """

    def __init__(self, name: str, content: Content, files: NumberFiles, reader: NumberReader) -> None:
        if isinstance(content, str):
            raise ConfigError([f"{name}: {content}"])
        self._document = Document(name, Path())  # in which a ${ is text like any other
        self._redact = files.redact
        self.numbers: list[PhoneNumber] = []
        self._indices = array("I")
        self.list = NumberList(name, digest(content), array("I"))
        text = decode(name, content)
        if name.lower().endswith(CSV):
            read_rows(self._document, text, files.label_columns)
        else:
            parse(self._document, _ESCAPE.sub(_joined, text) if name.lower().endswith(".json") else text)
        if not self._document.is_faulty or self._document.data:
            self._read(reader)

    def _read(self, reader: NumberReader) -> None:
        data = Sequence(1) if self._document.data is None else self._document.data
        for section in entries(self._document, (), data, NUMBER_KEYS, _CURE):
            number = reader.read(section)
            if number is not None:
                index = int(section.path[0])
                self.numbers.append(number)
                self._indices.append(index)
                self.list.lines.append(data.lines[index])

    def compare(self, places: Places) -> bool:
        """Note the places of the numbers; whether one clashes with another number, which is a fault then."""
        is_faulty = False
        for number, index, line in zip(self.numbers, self._indices, self.list.lines, strict=True):
            clash = places.add(number, self.list.file, line)
            if clash is not None:
                is_faulty = True
                self._document.fault((index, "phone_number"), clash.message, first=clash.first)
        return is_faulty

    def check(self) -> None:
        """Raise ConfigError with all faults, if there are any."""
        self._document.check(self._redact)


def digest(content: Content) -> bytes:
    """Equal for equal contents; differs also where a file cannot be read."""
    if isinstance(content, str):
        return b"unreadable: " + content.encode()
    return hashlib.sha256(content).digest()


def _joined(escape: re.Match[str]) -> str:
    """Two escapes of JSON that are one character, as YAML writes it; any other escape as it is."""
    high, low = escape.groups()
    if high is None:
        return escape[0]
    return f"\\U{0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00:08x}"
