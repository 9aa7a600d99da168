"""Which files the globs of an account name, and what they hold.  Bounded: a huge file is refused, not read."""

from __future__ import annotations

import glob
import os
import re
from functools import partial
from pathlib import Path

from exporter.config.settings import NumberFiles
from exporter.config.strict_yaml import MAX_BYTES, look_in_time, read_regular, show, too_large, unreadable

SUFFIXES = (".yml", ".yaml", ".json", ".csv")
CSV = ".csv"

MAX_FILES = 1000
"""The most files that one glob may name: each has a series."""

MAX_GLOB_BYTES = 4 * MAX_BYTES
"""The most bytes of all files that one glob names."""

Content = bytes | str
"""What a file holds; or a text that says why it cannot be read."""

_WILDCARD = re.compile(r"[*?\[]")


def parse_glob(text: str) -> str:
    """A glob that names only files of a known kind; raises ValueError."""
    if not text:
        raise ValueError("is empty; name a file, or several with *")
    if "\0" in text:
        raise ValueError("holds a NUL character; remove it")
    if "**" in text:
        raise ValueError(f"{show(text)} holds **, which is not supported; write a glob for each level")
    if not text.lower().endswith(SUFFIXES):
        raise ValueError(f"{show(text)} ends in none of {', '.join(SUFFIXES)}; name files of these kinds, as in *.yml")
    return text


def contents(files: NumberFiles, pattern: str) -> dict[str, Content]:
    """What each file that the glob `pattern` names holds, by the name to show.

    Hidden files are left out, unless the glob begins with a dot.  Raises ValueError where the folder cannot be read,
    its mount hangs, or the glob names too many files.
    """
    return look_in_time(files.folder / pattern, partial(_contents, files, pattern))


def _contents(files: NumberFiles, pattern: str) -> dict[str, Content]:
    found: dict[str, Content] = {}
    room = MAX_GLOB_BYTES
    names = sorted(glob.glob(pattern, root_dir=files.folder))  # noqa: PTH207 - has no root_dir
    if not names:
        _check_folder(files.folder, pattern)
    if len(names) > MAX_FILES:
        raise ValueError(f"names {len(names)} files, and {MAX_FILES} are the most; join some of them")
    for name in names:
        found[shown(files, name)] = content = _content(files.folder / name, min(room, MAX_BYTES))
        room -= len(content) if isinstance(content, bytes) else 0
    return found


def _check_folder(folder: Path, pattern: str) -> None:
    """Raise ValueError where `pattern` names no file because a folder cannot be read: `glob` does not tell."""
    fixed = _WILDCARD.split(pattern)[0]
    try:
        if fixed == pattern:
            os.lstat(folder / pattern)
        else:
            os.scandir(folder / os.path.dirname(fixed)).close()  # noqa: PTH120 - "" where the file has no folder
    except FileNotFoundError:
        pass
    except OSError as error:
        raise unreadable(error) from None


def shown(files: NumberFiles, name: str) -> str:
    """A file's name for metrics and logs: on Linux it may hold any bytes."""
    path = os.path.join(files.shown_folder, name)  # noqa: PTH118 - keeps "./" as it is written
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


def _content(path: Path, room: int) -> Content:
    try:
        content = read_regular(path, room + 1)
    except ValueError as error:
        return str(error)
    if len(content) <= room:
        return content
    if room == MAX_BYTES:
        return too_large(MAX_BYTES)
    return f"does not fit: files that one glob names may hold {MAX_GLOB_BYTES >> 20} MiB in all; use fewer numbers"
