"""The structure, held by the code itself: imports run one way, and each library has its rooms."""

from __future__ import annotations
import __future__

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter

PACKAGE = Path(exporter.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module within the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}

FLOORS: dict[str, tuple[frozenset[str], ...]] = {
    "": (
        frozenset({"__main__"}),
        frozenset({"cli"}),
        frozenset({"app", "reloads"}),
        frozenset({"readiness"}),
        frozenset({"sharing"}),
        frozenset({"accounts", "fleet"}),
        frozenset({"web", "polling", "cluster"}),
        frozenset({"metrics"}),
        frozenset({"state"}),
        frozenset({"cams"}),
        frozenset({"config"}),
        frozenset({"logs", "scrape_priority"}),
        frozenset({"model", "errors", "streams", "threads"}),
    ),
    "cluster": (
        frozenset({"replica"}),
        frozenset({"answers", "session"}),
        frozenset({"store"}),
        frozenset({"leases"}),
    ),
    "polling": (
        frozenset({"account"}),
        frozenset({"hand_out", "hand_over"}),
        frozenset({"reaction", "errands"}),
        frozenset({"gate", "recorder", "loop", "workers", "circuit_breaker", "retries", "client"}),
        frozenset({"budget", "in_flight", "schedule", "standing"}),
    ),
    "web": (
        frozenset({"server"}),
        frozenset({"handlers"}),
        frozenset({"connections", "ui"}),
        frozenset({"security"}),
        frozenset({"responses", "routes", "sharing", "worker_thread"}),
    ),
}
"""Of the package and of the folders whose parts have an order, from the roof to the ground.

A part imports what stands below it: two parts on one floor do not know each other.
"""

ROOMS = {
    "requests": {"cams"},
    "urllib3": {"cams"},
    "alibabacloud_credentials": {"cams.credentials"},
    "Tea": {"cams.credentials"},
    "prometheus_client": {"app", "metrics"},
    "yaml": {"config.strict_yaml"},
    "aiohttp": {"web", "simulator"},
    "jinja2": {"web.ui"},
    "bcrypt": {"web.security"},
    "isal": {"metrics.gzip_parts"},
    "redis": {"cluster.store.connecting"},
}
"""Third-party libraries and the modules or folders that may know them."""

PURE = (
    "cluster.answers.records",
    "cluster.leases.leases",
    "cluster.answers.mail",
    "cluster.session",
    "cluster.leases.spread",
    "cluster.leases.table",
    "cluster.leases.timing",
    "fleet.membership",
    "fleet.space",
    "polling.budget",
    "polling.circuit_breaker",
    "polling.errands.errands",
    "polling.errands.operation",
    "polling.hand_out",
    "polling.hand_over",
    "polling.in_flight",
    "polling.reaction",
    "polling.retries",
    "polling.schedule",
    "polling.standing",
    "metrics.gzip_parts",
    "state.history",
)


def imported(path: Path) -> Iterator[str]:
    """Every module that `path` imports anywhere, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                is_module = f"{node.module}.{alias.name}".removeprefix("exporter.") in MODULES
                yield f"{node.module}.{alias.name}" if is_module else node.module


def ours(path: Path) -> set[str]:
    """The modules of the package that `path` imports, by their names within it."""
    return {module.removeprefix("exporter.") for module in imported(path) if module.startswith("exporter.")}


def is_in(module: str, room: str) -> bool:
    return f"{module}.".startswith(f"{room}.")


def part_of(module: str, folder: str) -> str:
    """The part of `folder` that the module is, or stands in; empty where it stands in none."""
    if not folder:
        return module.partition(".")[0]
    return module.removeprefix(f"{folder}.").partition(".")[0] if module.startswith(f"{folder}.") else ""


@pytest.mark.parametrize("folder", FLOORS)
def test_every_part_has_its_floor(folder: str) -> None:
    parts = {part_of(module, folder) for module in MODULES} - {"", "simulator"}  # which shares nothing, see below
    assert parts == frozenset[str]().union(*FLOORS[folder])


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    """Down the floors of each folder that both modules stand in; within one part the test of circles holds."""
    for folder, floors in FLOORS.items():
        floor = {part: index for index, parts in enumerate(floors) for part in parts}
        part = part_of(module, folder)
        for other in ours(MODULES[module]):
            lower = part_of(other, folder)
            if part != lower and part in floor and lower in floor:
                assert floor[part] < floor[lower], f"{module} must not import {other}"


def test_no_imports_go_in_circles() -> None:
    """Over all modules; a folder counts as its `__init__`, which most modules leave alone."""
    graphlib.TopologicalSorter({module: ours(path) for module, path in MODULES.items()}).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_each_library_stays_in_its_rooms(module: str) -> None:
    for name in imported(MODULES[module]):
        library = name.partition(".")[0]
        if library in sys.stdlib_module_names or library == "exporter":
            continue
        assert library in ROOMS, f"{module}: {library} has no room"
        assert any(is_in(module, room) for room in ROOMS[library]), f"{module}: {library} belongs in {ROOMS[library]}"


PRIVATE = ("aiohttp.web_protocol", "asyncio.selector_events", "asyncio.sslproto")
"""Modules of other people that are theirs alone, though no underscore says so."""


@pytest.mark.parametrize("module", MODULES)
def test_nothing_private_of_others_is_imported(module: str) -> None:
    """A new Python, or a new version of a library, may change it without a word."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        else:
            continue
        for name in names - {f"__future__.{feature}" for feature in __future__.all_feature_names}:
            parts = name.split(".")
            is_ours = parts[0] == "exporter"
            assert is_ours or not any(part.startswith("_") for part in parts), f"{module} imports {name}"
            assert not name.startswith(PRIVATE), f"{module} imports {name}"


@pytest.mark.parametrize("module", [module for module in MODULES if is_in(module, "simulator")])
def test_the_simulator_shares_no_code_with_the_client(module: str) -> None:
    """A parser or signer used by both would share its bugs and hide them; the standard streams are neither."""
    assert {other for other in ours(MODULES[module]) if not is_in(other, "simulator")} <= {"streams"}


def test_only_the_demo_knows_the_simulator() -> None:
    importers = {
        module
        for module, path in MODULES.items()
        if not is_in(module, "simulator") and any(is_in(other, "simulator") for other in ours(path))
    }
    assert importers == {"cli.demo"}


def test_strict_yaml_knows_nothing_of_a_configuration() -> None:
    """The exporter's file and the web server's are both read by it."""
    for module, path in MODULES.items():
        if is_in(module, "config.strict_yaml"):
            assert all(is_in(other, "config.strict_yaml") for other in ours(path) if is_in(other, "config")), module


def test_the_health_check_imports_nothing_of_the_package() -> None:
    """It must not fail where the exporter itself would run."""
    assert ours(MODULES["cli.healthcheck"]) == set()


def test_redis_is_imported_by_nothing_that_runs_without_a_cluster() -> None:
    """It costs 0.2 s and 11 MB, and may not be installed."""
    importers = {module for module, path in MODULES.items() if "cluster.store.connecting" in ours(path)}
    assert all(is_in(module, "cluster") or module == "sharing" for module in importers)
    names = "{name for name in sys.modules if name.startswith(('redis', 'exporter.cluster', 'exporter.sharing'))}"
    program = f"import sys, exporter.app, exporter.cli.check, exporter.cli.serve; print({names})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    command = "import sys, exporter.app, exporter.cluster.replica; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=PACKAGE.parent, check=False).returncode == 0


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_know_neither_clocks_nor_threads(module: str) -> None:
    """Time is an argument there, and waiting happens elsewhere."""
    assert not {"time", "threading", "datetime", "asyncio"} & set(imported(MODULES[module]))
