"""`--kit.output`: write the rules, dashboards, example configurations and systemd units that belong to this version.

They are for users who have the package and no checkout.  pyproject.toml lists them (`force-include`): a wheel has them
as package data, and a checkout has them where that list says.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import exporter
from exporter.errors import ConfigError

PACKAGE = Path(exporter.__file__).parent
KIT = "exporter/kit/"


def write_kit(folder: Path) -> list[Path]:
    """Write all files below `folder`, which is created; returns all paths, also of files that were there already.

    Raises ConfigError, and writes nothing, if other files have these names; raises OSError if a file cannot be written.
    """
    kit = {folder / name: source.read_bytes() for name, source in sorted(_files())}
    parents = {parent for path in kit for parent in path.parents if parent.is_relative_to(folder)}
    blocking = [path for path in sorted(parents) if os.path.lexists(path) and not path.is_dir()]
    if blocking:
        raise ConfigError([f"{path}: is no folder; move it away, or name another folder" for path in blocking])
    missing = [path for path in kit if not os.path.lexists(path)]
    others = [path for path in kit.keys() - set(missing) if not path.is_file() or path.read_bytes() != kit[path]]
    if others:
        raise ConfigError(
            [f"{path}: is there with another content; move it away, or name another folder" for path in sorted(others)]
        )
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, kit[path])
    return list(kit)


def _write(path: Path, content: bytes) -> None:
    """Write a new file; if that fails, leave none."""
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _files() -> Iterator[tuple[str, Path]]:
    """(path in the kit, file) of each file."""
    if (PACKAGE / "kit").is_dir():
        yield from _below("", PACKAGE / "kit")
        return
    build = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    for source, name in build["targets"]["wheel"]["force-include"].items():
        yield from _below(name.removeprefix(KIT), PACKAGE.parent / source)


def _below(name: str, source: Path) -> Iterator[tuple[str, Path]]:
    """The file, or the files of the folder."""
    if source.is_file():
        yield name, source
    else:
        for file in source.rglob("*"):
            if file.is_file():
                yield str(Path(name) / file.relative_to(source)), file
