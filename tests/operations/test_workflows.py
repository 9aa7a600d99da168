"""The workflows of GitHub: linted, with few rights, from known actions.  They cannot run here."""

from __future__ import annotations

import re
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from tests.operations.tools import ROOT, python_tool
from tests.support.patience import PATIENCE_SECONDS

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {file.name: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = {(name, job): described for name, flow in WORKFLOWS.items() for job, described in flow["jobs"].items()}
RELEASE: dict[str, dict[str, Any]] = WORKFLOWS["release.yml"]["jobs"]
RIGHTS = {
    "image": {"packages", "id-token", "attestations"},
    "attest": {"id-token", "attestations"},
    "pypi": {"id-token"},
    "github": {"contents"},
}
"""What each job of the release may write; the other jobs write nothing."""

OWNERS = {"actions", "anchore", "docker", "pypa"}
TAG = re.compile(r"v\d+|release/v1|[0-9a-f]{40}")
"""A major version that Dependabot keeps up to date, PyPI's own branch, or a commit."""


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for (file, job), described in JOBS.items():
        for step in described.get("steps", ()):
            yield f"{file}:{job}", step


def test_actionlint_finds_nothing() -> None:
    """Keys, types, expressions, inputs of actions, versions that GitHub no longer runs."""
    command = [python_tool("actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_actionlint_finds_a_mistake(tmp_path: Path) -> None:
    """Checks the test above."""
    broken = tmp_path / "ci.yml"
    broken.write_text(FILES[0].read_text().replace("runs-on:", "run-on:"))
    done = subprocess.run(
        [python_tool("actionlint"), broken], capture_output=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 1


@pytest.mark.parametrize(("file", "job"), JOBS)
def test_a_job_has_the_rights_that_it_needs_and_no_other(file: str, job: str) -> None:
    """Without `permissions` a job gets the repository's default, which may be all rights."""
    permissions = JOBS[file, job]["permissions"]
    assert set(permissions.values()) <= {"read", "write"}
    allowed = {right for right, level in permissions.items() if level == "write"}
    assert allowed == (RIGHTS.get(job, set()) if file == "release.yml" else set())


def test_nothing_is_allowed_outside_of_the_jobs() -> None:
    assert {name: flow["permissions"] for name, flow in WORKFLOWS.items()} == {name: {} for name in WORKFLOWS}


def test_actions_come_from_few_owners_and_are_pinned() -> None:
    used = {step["uses"] for _, step in steps() if "uses" in step}
    assert used
    for action in used:
        name, _, version = action.partition("@")
        assert name.partition("/")[0] in OWNERS
        assert TAG.fullmatch(version), action


def test_no_checkout_leaves_its_token_to_later_steps() -> None:
    checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= 4
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_expression_is_pasted_into_a_shell() -> None:
    """The name of a branch or tag is the text of whoever made it; as an environment variable it is never run."""
    assert [where for where, step in steps() if "${{" in step.get("run", "")] == []


def test_every_script_is_one_that_bash_can_read() -> None:
    scripts = [step["run"] for _, step in steps() if "run" in step]
    assert len(scripts) > 5
    for script in scripts:
        done = subprocess.run(
            ["/bin/bash", "-n"], input=script, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), script


def test_nothing_is_published_before_the_tests_passed() -> None:
    def before(job: str) -> set[str]:
        needs = RELEASE[job].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(before, direct))

    assert {job for job in RELEASE if "test" in before(job)} == set(RIGHTS)
    assert {"image", "attest", "package"} <= before("pypi"), "a version on PyPI cannot be replaced: it comes last"


def test_the_tests_of_a_release_are_those_of_ci() -> None:
    assert RELEASE["test"]["uses"] == "./.github/workflows/ci.yml"
    commands = [step.get("run") for step in WORKFLOWS["ci.yml"]["jobs"]["test"]["steps"]]
    assert ".ci/run" in commands


def test_pypi_is_reached_without_a_password() -> None:
    """Trusted publishing: a short-lived token of this workflow, in an environment that can ask for an approval."""
    (publish,) = [step for step in RELEASE["pypi"]["steps"] if "pypi-publish" in step.get("uses", "")]
    assert "with" not in publish
    assert RELEASE["pypi"]["environment"]["name"] == "pypi"
    assert not any("secrets." in file.read_text() for file in FILES)


def test_the_image_has_both_architectures_an_sbom_and_its_provenance() -> None:
    (build,) = [step for step in RELEASE["image"]["steps"] if "build-push" in step.get("uses", "")]
    assert build["with"]["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert build["with"]["sbom"] is True
    assert build["with"]["provenance"] == "mode=max"
    known = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    given = {line.partition("=")[0] for line in build["with"]["build-args"].splitlines()}
    assert given == {"VERSION", "REVISION", "CREATED", "SOURCE"} <= set(known)


def test_dependabot_looks_at_what_is_pinned() -> None:
    described = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    assert described["version"] == 2
    found = {(update["package-ecosystem"], update["directory"]) for update in described["updates"]}
    assert found == {("github-actions", "/"), ("pip", "/"), ("docker-compose", "/")}


# The notes of a release


@pytest.fixture(scope="module")
def notes() -> Callable[[str, str, str], str]:
    found: Callable[[str, str, str], str] = runpy.run_path(str(ROOT / "scripts" / "release-notes"))["notes"]
    return found


PACKAGE = '__version__ = "1.2.3"\n'


def test_the_notes_are_the_section_of_the_version(notes: Callable[[str, str, str], str]) -> None:
    changelog = "# Changelog\n\n## [1.2.3] - 2027-01-02\n\n### Added\n\n- This.\n\n## [1.2.2] - 2026-12-31\n\n- That.\n"
    assert notes("1.2.3", changelog, PACKAGE) == "### Added\n\n- This.\n"


@pytest.mark.parametrize(
    ("version", "title", "reason"),
    [
        ("1.2.4", "[1.2.4] - 2027-01-02", "exporter/__init__.py has the version 1.2.3, not 1.2.4"),
        ("1.2.3", "[1.2.2] - 2027-01-02", "CHANGELOG.md begins with [1.2.2] - 2027-01-02, not with [1.2.3]"),
        ("1.2.3", "[1.2.3] - unreleased", "CHANGELOG.md has no date for 1.2.3: write [1.2.3] - YYYY-MM-DD"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(
    version: str, title: str, reason: str, notes: Callable[[str, str, str], str]
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        notes(version, f"# Changelog\n\n## {title}\n\n- This.\n", PACKAGE)


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    """Older versions have a date; this one has one as soon as it is released."""
    titles = re.findall(r"^## \[(.+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0][0] == exporter.__version__
    assert titles[0][1] == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", titles[0][1])
    assert len(titles) > 1
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in titles[1:])
