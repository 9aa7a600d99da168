"""`--kit.output` in a checkout; tests/operations/test_package.py runs it from a wheel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import exporter
from exporter.cli.kit import write_kit
from exporter.errors import ConfigError
from tests.support.exporter import run_exporter

ROOT = Path(exporter.__file__).parents[1]
RULES = "prometheus/rules/cams-numbers.yml"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_files_of_the_repository_under_their_own_paths(tmp_path: Path) -> None:
    """So every path in the documentation is the same in the kit."""
    folder = tmp_path / "new" / "kit"
    written = write_kit(folder)
    found = contents(folder)
    assert sorted(str(path.relative_to(folder)) for path in written) == sorted(found)
    assert found == {name: (ROOT / name).read_bytes() for name in found}


@pytest.mark.parametrize(
    "shipped",
    ["*config.example.yml", "deploy/systemd/*", "grafana/dashboards/*", "prometheus/*.yml", "prometheus/rules/*"],
)
def test_every_file_of_a_kind_is_in_the_kit(shipped: str, tmp_path: Path) -> None:
    write_kit(tmp_path)
    expected = {str(path.relative_to(ROOT)) for path in ROOT.glob(shipped)}
    assert expected
    assert expected <= contents(tmp_path).keys()


def test_the_kit_is_all_that_the_units_tell_to_install(tmp_path: Path) -> None:
    """Who has the package and no checkout follows the header of a unit in the folder of the kit."""
    write_kit(tmp_path)
    units = sorted((tmp_path / "deploy" / "systemd").iterdir())
    named = [re.findall(r"^#   install -D --mode=644 (\S+) ", unit.read_text(), re.MULTILINE) for unit in units]
    assert all(named)
    assert {name for names in named for name in names} <= contents(tmp_path).keys()


def test_a_second_run_changes_nothing_and_brings_back_what_is_gone(tmp_path: Path) -> None:
    write_kit(tmp_path)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.yml")}
    (tmp_path / RULES).unlink()
    write_kit(tmp_path)
    assert contents(tmp_path) == before
    del times[tmp_path / RULES]
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_other_files_are_not_overwritten_and_nothing_is_written_beside_them(tmp_path: Path) -> None:
    """All are named at once."""
    (tmp_path / "config.example.yml").write_text("mine")
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "prometheus" / "prometheus.yml").symlink_to("nowhere")
    with pytest.raises(ConfigError) as refused:
        write_kit(tmp_path)
    assert refused.value.faults == tuple(
        f"{tmp_path / name}: is there with another content; move it away, or name another folder"
        for name in ("config.example.yml", "prometheus/prometheus.yml")
    )
    assert contents(tmp_path) == {"config.example.yml": b"mine"}


@pytest.mark.parametrize("name", ["", "prometheus", "prometheus/rules"])
def test_a_file_in_place_of_a_folder_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    blocking = folder / name
    blocking.parent.mkdir(parents=True, exist_ok=True)
    blocking.write_text("mine")
    with pytest.raises(ConfigError, match="is no folder; move it away") as refused:
        write_kit(folder)
    assert [fault.partition(":")[0] for fault in refused.value.faults] == [str(blocking)]
    assert contents(tmp_path) == {str(blocking.relative_to(tmp_path)): b"mine"}


@pytest.mark.parametrize("flag", ["--demo", "--once", "--config.check"])
def test_it_excludes_other_tasks(flag: str, tmp_path: Path) -> None:
    done = run_exporter(flag, f"--kit.output={tmp_path}")
    assert done.returncode == 2
    assert "--kit.output writes files and exits; drop the other task" in done.stderr
    assert contents(tmp_path) == {}
