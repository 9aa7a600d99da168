"""The package: built from the sdist, installed into a new environment, run from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import Parser
from importlib.metadata import requires
from pathlib import Path

import pytest
import trove_classifiers
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import exporter
from exporter.cli.kit import write_kit
from tests.operations.tools import ROOT, python_tool
from tests.support.exporter import ExporterProcess
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.xdist_group("one package")

HOME = "https://github.com/cams-exporter/cams-exporter"
NAME = f"cams_exporter-{exporter.__version__}"


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "--target=sdist", f"--directory={folder}", cwd=ROOT)
    run("tar", "--extract", f"--file={folder / f'{NAME}.tar.gz'}", f"--directory={folder}")
    return folder / NAME


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist only, as by pip."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target=wheel", f"--directory={folder}", cwd=source)
    return folder / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip = (sys.executable, "-m", "pip", f"--python={folder / 'bin' / 'python'}", "install")
    run(*pip, "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    return folder / "bin"


@pytest.fixture
def dependencies() -> dict[str, str]:
    """The environment that uses the dependencies of this one, without its .pth files, which are the checkout's."""
    return {"PYTHONPATH": sysconfig.get_path("purelib"), "PYTHONSAFEPATH": "1"}


def test_the_wheel_holds_the_package_with_its_kit_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    """Templates and py.typed too; no tests, which would be installed as a top-level `tests`."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path.relative_to(ROOT) for path in (ROOT / "exporter").rglob("*") if path.is_file())
    written = {str(path) for path in files if "__pycache__" not in path.parts}
    kit = {f"exporter/kit/{path.relative_to(tmp_path)}" for path in write_kit(tmp_path)}
    assert held == written | kit
    assert {"exporter/py.typed", "exporter/web/ui/templates/landing.html"} <= held


def test_the_metadata_has_version_license_and_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
        names = archive.namelist()
    assert metadata["Version"] == exporter.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_metadata_names_the_projects_pages(wheel: Path) -> None:
    """The same home as in the image's labels, the chart and the alerts."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
    urls = {name: url for name, _, url in (text.partition(", ") for text in metadata.get_all("Project-URL", []))}
    assert {"Homepage", "Documentation", "Changelog", "Source", "Issues"} <= urls.keys()
    assert all(url == HOME or url.startswith(f"{HOME}/") for url in urls.values())
    for page in (url.partition("/blob/main/")[2] for url in urls.values()):
        assert (ROOT / page).exists()
    assert f"ARG SOURCE={HOME}\n" in (ROOT / "Dockerfile").read_text()


def test_pypi_takes_the_files_and_shows_the_whole_readme(source: Path, wheel: Path) -> None:
    """Strict: a page that PyPI cannot render is a failure."""
    said = run(python_tool("twine"), "check", "--strict", wheel, source.parent / f"{NAME}.tar.gz")
    assert said.count("PASSED") == 2


def test_every_classifier_is_one_that_pypi_knows(wheel: Path) -> None:
    """PyPI refuses an upload with another one."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
    assert len(metadata.get_all("Classifier", [])) > 10
    assert set(metadata.get_all("Classifier", [])) <= trove_classifiers.classifiers


def test_the_command_is_installed(installed: Path, dependencies: dict[str, str], tmp_path: Path) -> None:
    said = run(installed / "cams_exporter", "--version", cwd=tmp_path, env=dependencies)
    assert f"version {exporter.__version__} " in said


def test_the_installed_package_writes_its_kit(installed: Path, dependencies: dict[str, str], tmp_path: Path) -> None:
    """The files of the repository, unchanged; a second run with another file in place writes nothing."""
    folder = tmp_path / "kit"
    written = run(installed / "cams_exporter", f"--kit.output={folder}", cwd=tmp_path, env=dependencies).split("\n")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert sorted(written[:-1]) == sorted(str(folder / name) for name in found)
    assert found == {name: (ROOT / name).read_bytes() for name in found}
    rules = {str(path.relative_to(ROOT)) for path in (ROOT / "prometheus" / "rules").iterdir()}
    assert {*rules, "config.example.yml", "deploy/systemd/cams-exporter.service"} <= found.keys()
    (folder / "config.example.yml").write_text("mine")
    refused = subprocess.run(
        [installed / "cams_exporter", f"--kit.output={folder}"],
        env={**os.environ, **dependencies},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    fault = f"{folder}/config.example.yml: is there with another content; move it away, or name another folder\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", fault)


def test_the_installed_package_serves_the_demo_with_its_pages(installed: Path, dependencies: dict[str, str]) -> None:
    """A template that is missing in the wheel fails here, but not in the checkout."""
    where = run(installed / "python", "-c", "import exporter; print(exporter.__file__)", env=dependencies)
    assert Path(where.strip()).is_relative_to(installed.parent)
    with ExporterProcess(None, "--demo", env=dependencies, program=[str(installed / "cams_exporter")]) as demo:
        assert len([name for name, _ in demo.scrape() if name == "cams_phone_number_info"]) >= 10
        assert demo.get("/")[0] == 200


UNPINNED = {
    ("README.md", "pip install ."),
    ("README.md", "pip install cams-exporter"),
    ("docs/high-availability.md", "pip install 'cams-exporter[cluster]'"),
    ("deploy/systemd/cams-exporter.service", "pip install cams-exporter"),
    ("Makefile", "pip install --quiet pip-tools"),
}
"""README.md says so; pip-tools makes the lock files."""

PIP = re.compile(r"(?:\bpip|\$\(PIP\))\S* (?:--\S+ )*(?:install|wheel) [^`&|\n]*")


def pip_commands() -> Iterator[tuple[str, str]]:
    """(file, command) of each `pip install` and `pip wheel` in the project's files and instructions."""
    folders = ("deploy", "docs", "scripts", ".ci", ".github")
    paths = [
        *ROOT.glob("*.md"),
        *ROOT.glob("[MD]*file"),
        *(path for name in folders for path in (ROOT / name).rglob("*")),
    ]
    for path in filter(Path.is_file, paths):
        text = re.sub(r"\\\n[\t #]*", "", path.read_text(errors="replace"))  # join continued lines
        yield from ((str(path.relative_to(ROOT)), command.strip()) for command in PIP.findall(text))


def test_every_pip_command_installs_only_pinned_packages() -> None:
    """Without --no-build-isolation pip downloads the newest build backend, without checking a hash."""
    commands = set(pip_commands())
    assert {name for name, _ in commands} >= {"Makefile", "Dockerfile", "deploy/systemd/cams-exporter.service"}
    for where, command in commands - UNPINNED:
        assert "--require-hashes" in command or "--no-index" in command, (where, command)
        builds_nothing = command.endswith(("requirements-build.txt", ".whl"))
        assert builds_nothing or "--no-build-isolation" in command, (where, command)


def pins(name: str) -> set[str]:
    """The packages that a lock file pins."""
    found = re.findall(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package) for package in found}


def test_the_lock_file_pins_what_the_package_and_its_extras_need() -> None:
    """The image, the unit and `make install` install from it, so that `cluster` needs no other step there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    assert {canonicalize_name(Requirement(need).name) for need in needs} <= pins("requirements.txt")
    assert "--extra cluster " in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("version", ["3.11.2", "3.14.0"])
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_files_are_whole_on_every_python(name: str, version: str) -> None:
    """pip refuses a package without a hash, and some are needed on certain Pythons only: 3.11.2 is Debian 12's."""
    pinned = pins(name) | pins("requirements.txt") | pins("requirements-build.txt")
    on = {"python_full_version": version, "python_version": version.rpartition(".")[0], "extra": ""}
    for package in pins(name):
        for need in map(Requirement, requires(package) or ()):
            is_needed = need.marker is None or need.marker.evaluate(on)
            assert not is_needed or canonicalize_name(need.name) in pinned, f"{package} needs {need}"


def test_pip_builds_source_packages_in_the_new_way() -> None:
    """In the old way pip warns of its own deprecations, which a user can do nothing about."""
    assert "\nPIP := PIP_USE_PEP517=1 " in (ROOT / "Makefile").read_text()
    for where, command in pip_commands():
        if command.endswith(("requirements.txt", "requirements-dev.txt")):
            assert "--use-pep517" in command or command.startswith("$(PIP) "), (where, command)


def test_an_editable_install_needs_nothing_beside_the_pinned_build_backend(source: Path, tmp_path: Path) -> None:
    """`make install` builds without isolation, so `editables`, which hatchling needs, must be locked too."""
    build = (
        f"import sys; sys.modules['editables'] = None; import hatchling.build as b; b.build_editable({str(tmp_path)!r})"
    )
    run(sys.executable, "-c", build, cwd=source)
    assert len(list(tmp_path.glob("cams_exporter-*.whl"))) == 1
