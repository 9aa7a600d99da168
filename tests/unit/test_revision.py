"""The revision that `--version` and `cams_exporter_build_info` show."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from exporter.cli.revision import revision
from tests.operations.tools import system_tool
from tests.support.exporter import run_exporter
from tests.support.patience import PATIENCE_SECONDS

OTHER = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    command = (system_tool("git", "git"), "-C", str(folder), *identity, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=first")
    return folder


def shown(checkout: Path) -> str:
    return revision({}, checkout / "exporter")


def test_a_checkout_shows_its_commit(checkout: Path) -> None:
    assert shown(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_fresh_clone_shows_its_commit(checkout: Path) -> None:
    """References may stand in one file: packed-refs."""
    git(checkout, "pack-refs", "--all")
    assert not list((checkout / ".git" / "refs" / "heads").iterdir())
    assert shown(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_commit_that_is_checked_out_without_a_branch_is_shown(checkout: Path) -> None:
    """As in CI."""
    git(checkout, "checkout", "--quiet", "--detach")
    assert shown(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("packed", [False, True])
def test_a_worktree_shows_its_own_commit(packed: bool, checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(checkout, "worktree", "add", "--quiet", "-b", "other", str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message=second")
    if packed:
        git(checkout, "pack-refs", "--all")
    assert shown(other) == git(other, "rev-parse", "HEAD") != shown(checkout)


def test_it_is_what_the_command_shows() -> None:
    assert f"(revision: {revision()}, " in run_exporter("--version").stdout


def test_the_image_says_which_commit_it_was_built_from(checkout: Path) -> None:
    assert revision({"CAMS_EXPORTER_REVISION": OTHER}, checkout / "exporter") == OTHER


def test_outside_of_a_checkout_it_is_unknown(tmp_path: Path, checkout: Path) -> None:
    assert shown(tmp_path) == "unknown"
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")  # as where references are kept in a table
    assert shown(checkout) == "unknown"
    (checkout / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert shown(checkout) == "unknown"
