"""The structure, held by the code itself: imports run one way, and each library has its rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter

PACKAGE = Path(exporter.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"check", "demo", "once", "reloads"}),
    frozenset({"app"}),
    frozenset({"web", "poller"}),
    frozenset({"exposition", "storage"}),
    frozenset({"collector", "cams"}),
    frozenset({"state"}),
    frozenset({"config", "storefolder"}),
    frozenset({"budget", "schedule", "history", "metrics", "yamlfile", "logs"}),
    frozenset({"model", "errors", "spelling", "memory", "deflate", "signals", "streams", "threads"}),
)
"""From the roof to the ground; a part imports what stands below it."""

ROOMS = {
    "requests": {"cams"},
    "urllib3": {"cams"},
    "certifi": {"cams"},
    "alibabacloud_credentials": {"cams"},
    "prometheus_client": {"collector", "spelling", "exposition", "web", "app"},
    "yaml": {"yamlfile"},
    "aiohttp": {"web", "simulator"},
    "jinja2": {"web"},
    "bcrypt": {"web"},
    "isal": {"deflate"},
}
"""Third-party libraries and the parts that may know them."""


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that `path` imports anywhere, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module == "exporter":
                yield from (f"exporter.{alias.name}" for alias in node.names)


def floor(name: str) -> int | None:
    return next((index for index, names in enumerate(FLOORS) if name in names), None)


POLLER_FLOORS = (
    frozenset({"__init__"}),
    frozenset({"account"}),
    frozenset({"reaction"}),
    frozenset({"gate", "journal", "loop", "workers", "bounds", "refusal", "retries"}),
)
"""Within the poller the parts do not know each other; a poll's end joins its decisions, the account's loop all."""


def ours(path: Path) -> Iterator[str]:
    """The parts of the package that `path` imports."""
    for module in imported(path):
        head, _, rest = module.partition(".")
        if head == "exporter" and rest:
            yield rest.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    importer = part(path)
    if importer in {"__init__", "simulator", "healthcheck"}:
        return
    for name in ours(path):
        if name in {importer, "__version__"}:
            continue
        if name == "simulator":
            assert importer == "demo", f"{path}: only --demo knows the simulator"
            continue
        above, below = floor(importer), floor(name)
        assert above is not None, f"{importer} has no floor"
        assert below is not None, f"{name} has no floor"
        assert above < below, f"{path}: {importer} must not import {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "poller").glob("*.py")), ids=lambda path: path.name)
def test_the_poller_is_built_from_parts_that_do_not_know_each_other(path: Path) -> None:
    (level,) = (index for index, names in enumerate(POLLER_FLOORS) if path.stem in names)
    below = frozenset[str]().union(*POLLER_FLOORS[level + 1 :])
    prefix = "exporter.polling."
    assert {m.removeprefix(prefix).partition(".")[0] for m in imported(path) if m.startswith(prefix)} <= below


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_library_stays_in_its_rooms(path: Path) -> None:
    for module in imported(path):
        rooms = ROOMS.get(module.partition(".")[0])
        assert rooms is None or part(path) in rooms, f"{path}: {module} belongs into {rooms}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "simulator").glob("*.py")), ids=lambda path: path.name)
def test_the_simulator_shares_no_code_with_the_client(path: Path) -> None:
    """A parser or signer used by both would share its bugs and hide them; the standard streams are neither."""
    assert set(ours(path)) <= {"simulator", "streams"}


@pytest.mark.parametrize(
    "name", ["budget", "schedule", "history", "deflate", "poller/bounds", "poller/refusal", "poller/retries"]
)
def test_pure_modules_know_neither_clocks_nor_threads(name: str) -> None:
    """Time is an argument there, and waiting happens elsewhere."""
    assert not {"time", "threading", "datetime", "asyncio"} & set(imported(PACKAGE / f"{name}.py"))
