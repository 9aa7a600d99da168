"""The numbers of one account: those in the configuration, and those in the number files that it names."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

from exporter.config.number_files.files import CSV, Content, contents, parse_glob
from exporter.config.number_files.lists import FileList
from exporter.config.numbers import NUMBER_KEYS, Labeller, NumberReader, Places, label_name_fault
from exporter.config.settings import NumberFiles, NumberList
from exporter.config.strict_yaml import Section, show
from exporter.errors import ConfigError
from exporter.model import PhoneNumber

NO_NUMBERS = "write the account's numbers, number_files or discover, or remove the account: it would do nothing"


class AccountNumbers:
    """The numbers of the account in `section`, and the lists that they come from, as in `AccountConfig`.

    `path` is the configuration file as the user gave it.  `file_faults` are the faults of number files.
    """

    def __init__(
        self, section: Section, account: str, path: Path, labeller: Labeller, redact: Callable[[str], str]
    ) -> None:
        self._section = section
        self._reader = NumberReader(account, labeller)
        self._places = Places(labeller)
        self.files = self._number_files(path, labeller, redact)
        self.numbers: list[PhoneNumber] = []
        self.lists: list[NumberList] = []
        self.file_faults: list[str] = []
        self._read_typed()
        if self.files is not None and section.document.reads_files:
            self._read_files(self.files)

    def _number_files(self, path: Path, labeller: Labeller, redact: Callable[[str], str]) -> NumberFiles | None:
        """Where the number files are, without a look at them."""
        section = self._section
        columns = section.texts("label_columns", _parse_label_column) or ()
        for index, column in enumerate(columns):
            if column in columns[:index]:
                section.document.fault((*section.path, "label_columns", index), "is named twice; remove one")
        globs = section.texts("number_files", parse_glob) or ()
        for key, what in (("number_files", "a file"), ("label_columns", "a column")):
            if key in section and section.value(key) in (None, []):
                section.fault(key, f"is empty; name {what}, or remove the line")
        if columns and "number_files" not in section:
            section.fault("label_columns", "has no effect without number_files; remove it")
        elif columns and globs and not any(pattern.lower().endswith(CSV) for pattern in globs):
            section.fault("label_columns", "has no effect without a .csv file in number_files; remove it")
        if not globs:
            return None
        shown = "" if path.parent == Path() else str(path.parent)
        return NumberFiles(globs, columns, section.document.folder, shown, labeller, redact)

    def _read_typed(self) -> None:
        section = self._section
        typed = NumberList(section.document.name, b"", array("I"))
        cure = "" if "number_files" in section or "discover" in section else NO_NUMBERS
        for entry in section.sections("numbers", NUMBER_KEYS, required=cure):
            number = self._reader.read(entry)
            if number is None:
                continue
            line = entry.document.line_of(entry.path)
            clash = self._places.add(number, typed.file, line)
            if clash is not None:
                entry.fault("phone_number", clash.message, first=clash.first)
            self.numbers.append(number)
            typed.lines.append(line)
        self.lists.append(typed)

    def _read_files(self, files: NumberFiles) -> None:
        for name, content in self._contents(files):
            try:
                found = FileList(name, content, files, self._reader)
                found.compare(self._places)
                found.check()
            except ConfigError as error:
                self.file_faults += error.faults
            else:
                self.numbers += found.numbers
                self.lists.append(found.list)

    def _contents(self, files: NumberFiles) -> list[tuple[str, Content]]:
        """What the number files hold, in the order of their names."""
        found: dict[str, Content] = {}
        for index, pattern in enumerate(files.globs):
            place = (*self._section.path, "number_files", index)
            try:
                named = contents(files, pattern)
            except ValueError as error:
                self._section.document.fault(place, f"{show(pattern)} {error}")
                continue
            if not named:
                self._section.document.warn(place, f"{show(pattern)} names no file; create one, or fix the path")
            found |= named
        return sorted(found.items())


def _parse_label_column(text: str) -> str:
    fault = label_name_fault(text)
    if fault:
        raise ValueError(f"{show(text)} {fault}")
    return text
