"""The text of the Dockerfile; test_image.py runs the image."""

from __future__ import annotations

import re
import subprocess

import exporter
from tests.operations.tools import ROOT, python_tool
from tests.support.patience import PATIENCE_SECONDS

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing() -> None:
    command = [python_tool("hadolint"), "--failure-threshold=style", str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_image_is_pinned_to_a_patch_release_and_used_by_both_stages() -> None:
    """A moving tag would build another image tomorrow from the same commit."""
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2


def test_the_version_in_the_dockerfile_is_the_package_version() -> None:
    assert f"\nARG VERSION={exporter.__version__}\n" in DOCKERFILE


def test_the_build_context_is_an_allow_list() -> None:
    """A secret next to the Dockerfile must not get into a layer, even if somebody forgot to exclude it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        name
        for arguments in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in arguments.split()
    }
    assert allowed == copied
