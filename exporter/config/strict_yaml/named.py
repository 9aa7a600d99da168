"""Files that a document names: read, and shown in messages only where the name surely is a path.

What stands at a key that ends in _file is now and then the secret itself, put there by mistake.
"""

from __future__ import annotations

import os
from pathlib import Path

from exporter.config.strict_yaml.document import show
from exporter.config.strict_yaml.files import read_regular

UNSHOWN = "the file named here"
"""How messages call a file that is not shown."""


_SUFFIXES = {".cer", ".crt", ".csv", ".json", ".jwt", ".key", ".pem", ".secret", ".token", ".txt", ".yaml", ".yml"}


def read_named(folder: Path, name: str, max_bytes: int) -> tuple[Path, bytes]:
    """The absolute path and the first `max_bytes` of the file `name`, which is found from `folder` on.

    A ValueError says why it can't be read or is empty, and what to do.
    """
    path = named(folder, name)
    try:
        content = read_regular(path, max_bytes)
    except ValueError as error:
        raise ValueError(f"{called(folder, path)} {error}") from None
    if not content:
        raise ValueError(f"{called(folder, path)} is empty; fill it")
    return path, content


def named(folder: Path, name: str) -> Path:
    """The path that `name` stands for; ValueError for no name at all."""
    if not name:
        raise ValueError("is empty; name a file")
    return folder / name


def called(folder: Path, path: Path) -> str:
    """`path` in quotes, if it surely is one: it is there, its first folder is, or its name ends as files' names do."""
    try:
        inside = path.relative_to(folder) if path.is_relative_to(folder) else path.relative_to(path.anchor)
        first = path.parents[len(inside.parts) - 2] if len(inside.parts) > 1 else None
        is_path = path.suffix in _SUFFIXES or os.path.lexists(path) or (first is not None and first.is_dir())
    except (OSError, ValueError):  # too long, or with a NUL
        is_path = False
    return show(str(path)) if is_path else UNSHOWN
