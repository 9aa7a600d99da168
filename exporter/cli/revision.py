"""The commit that this was built from, or that a checkout is at."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import exporter

REVISION_VARIABLE = "CAMS_EXPORTER_REVISION"
"""Set by the container image to the commit it was built from."""

UNKNOWN = "unknown"


def revision(environment: Mapping[str, str] | None = None, package: Path = Path(exporter.__file__).parent) -> str:
    """The image's commit, else the checkout's, else "unknown".

    It reads git's files, because git may not be installed.  Changes that are not committed do not show.
    """
    given = (os.environ if environment is None else environment).get(REVISION_VARIABLE)
    return given or _checked_out(package.parent / ".git") or UNKNOWN


def _checked_out(git: Path) -> str | None:
    """The commit of HEAD; None where there is no repository, or one that keeps its references in another form."""
    try:
        if git.is_file():  # a worktree or a submodule: the file names the folder
            git = git.parent / _after(git, "gitdir: ")
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return _commit(head)
        branch = head.removeprefix("ref: ")
        common = git / _after(git / "commondir", "") if (git / "commondir").is_file() else git
        if (common / branch).is_file():
            return _commit((common / branch).read_text(encoding="ascii").strip())
        packed = (common / "packed-refs").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = re.search(rf"^(\w+) {re.escape(branch)}$", packed, re.MULTILINE)
    return _commit(found[1]) if found else None


def _after(file: Path, prefix: str) -> str:
    return file.read_text(encoding="utf-8").strip().removeprefix(prefix)


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None
