"""The folder deploy/: each file says what to edit, and copies equal their originals."""

from __future__ import annotations

import shutil
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from tests.operations.tools import ROOT
from tests.support.patience import PATIENCE_SECONDS

DEPLOY = ROOT / "deploy"
COMMENTS = ("#", "{{- /*")
COPIES = DEPLOY / "helm" / "cams-exporter" / "files"
"""Exact copies of their originals; the README there says so."""

FILES = sorted(file for file in DEPLOY.rglob("*") if file.is_file())
WRITTEN = [file for file in FILES if file.suffix != ".json" and file.name != "sync" and COPIES not in file.parents]


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_every_file_says_in_its_header_what_to_edit(file: Path) -> None:
    header = "".join(takewhile(lambda line: line.startswith(COMMENTS), file.read_text().splitlines()))
    assert "edit" in header.lower()


def test_the_copies_equal_their_originals(tmp_path: Path) -> None:
    """A chart reads only its own files, so deploy/sync copies rules and dashboards.  If this fails, run deploy/sync."""
    for name in ("deploy", "prometheus/rules", "grafana/dashboards"):
        shutil.copytree(ROOT / name, tmp_path / name)
    subprocess.run([tmp_path / "deploy" / "sync"], check=True, timeout=PATIENCE_SECONDS)
    renewed = sorted(file for file in (tmp_path / "deploy").rglob("*") if file.is_file())
    assert [file.relative_to(tmp_path / "deploy") for file in renewed] == [file.relative_to(DEPLOY) for file in FILES]
    for file in renewed:
        original = DEPLOY / file.relative_to(tmp_path / "deploy")
        assert file.read_bytes() == original.read_bytes(), f"{original.relative_to(ROOT)}: run deploy/sync"
