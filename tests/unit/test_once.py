"""The progress of `--once`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.cli.once import Progress, check_output, write_in_place
from tests.support.configs import ACCOUNTS, written
from tests.support.exporter import run_exporter
from tests.support.patience import PATIENCE_SECONDS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show(10, 0, 30)
    progress.show(30, 1, 30)
    progress.end()
    assert "[##########....................] 10/30 numbers\x1b[K" in terminal.getvalue()
    assert terminal.getvalue().endswith("30/30 numbers, 1 without a status\x1b[K\n")


def test_anything_else_gets_nothing() -> None:
    """No progress is drawn into a log file or a pipe."""
    pipe = io.StringIO()
    progress = Progress(pipe)
    progress.show(10, 0, 30)
    progress.end()
    assert pipe.getvalue() == ""


def test_an_output_that_cannot_be_written_is_reported_before_the_first_request(tmp_path: Path) -> None:
    """Otherwise a whole pass would be wasted; and a device or a pipe must not become a file."""
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("none/x.prom", "there is no folder"),
    ):
        with pytest.raises(OSError, match=f"^--once.output=.*{why}"):
            check_output(tmp_path / path, b"sample")


def test_an_output_that_is_a_link_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link.prom").symlink_to(tmp_path / "real.prom")
    assert check_output(tmp_path / "link.prom", b"sample") == tmp_path / "real.prom"
    assert not (tmp_path / "real.prom").exists()
    assert len(list(tmp_path.iterdir())) == 1  # no file of the check is left


def test_a_file_in_a_folder_that_takes_no_other_is_accepted() -> None:
    """The kernel's own folder accepts no file, not even from root."""
    comm = Path(f"/proc/{os.getpid()}/comm")
    assert check_output(comm, b"sample") == comm


def test_writing_in_place_leaves_nothing_of_a_longer_file(tmp_path: Path) -> None:
    path = tmp_path / "cams.prom"
    path.write_bytes(b"a longer one")
    inode = path.stat().st_ino
    write_in_place(path, b"short")
    assert path.read_bytes() == b"short"
    assert path.stat().st_ino == inode


def test_a_full_file_system_is_reported_before_the_first_request(tmp_path: Path) -> None:
    """A limit on file sizes simulates a full disk: the old file stays complete."""
    (tmp_path / "cams.prom").write_text("old")
    script = (
        "from pathlib import Path; from exporter.cli.once import check_output; check_output(Path({!r}), bytes(50_000))"
    )
    command = ["prlimit", "--fsize=20000", sys.executable, "-c", script.format(str(tmp_path / "cams.prom"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert "cannot be written: file too large" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_it_is_refused_beside_replicas(tmp_path: Path) -> None:
    """It would send more than the replicas' budget."""
    path = written(tmp_path, f"cluster: {{url: redis://127.0.0.1, replicas: 2}}\n{ACCOUNTS}")
    done = run_exporter("--once", f"--config.file={path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"{path}: cluster: --once would poll beside the replicas; leave it out, or remove the section\n"
    )
