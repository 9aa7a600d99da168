"""The generated parts of the README are up to date with their sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_demo_flags_metrics_sizing_and_codes_are_up_to_date() -> None:
    """`scripts/readme` writes them from the demo, the flag parser, the catalogue, the budget and the table of codes."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr or "README.md is out of date: run scripts/readme"


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:|<)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_it_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
