"""Number files that change while the exporter runs: no reload is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, errors, run_exporter, statuses, until, value
from tests.support.fleet import SPACE, config, fleet, never_throttle, phones
from tests.support.hangingmount import hanging_mount

UP = "cams_exporter_number_file_up"
SUCCESS_TIME = "cams_phone_number_last_success_timestamp_seconds"


def rows(numbers: Iterable[str]) -> str:
    return "phone_number,cust_space_id,name,team\n" + "".join(f"{phone},{SPACE},desk,care\n" for phone in numbers)


def filed(world: World, count: int, *globs: str, **more: Any) -> dict[str, Any]:
    """An account with that many numbers, none of them typed."""
    section = fleet(world, count, qps=10, number_files=list(globs), **more)
    del section["numbers"]
    return section


def test_files_that_change_are_taken_over_and_bad_ones_keep_their_last_good_list(tmp_path: Path) -> None:
    """A CSV file that changes; one that stays half written; a ConfigMap that is swapped; one that is gone."""
    world = World()
    one, two, three, four, five, six, seven = phones(7)
    (tmp_path / "changed.csv").write_text(rows([one, two]))
    (tmp_path / "half.csv").write_text(rows([three]))
    (tmp_path / "gone.csv").write_text(rows([four]))
    for version, number in (("..1", five), ("..2", six)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "mapped.yml").write_text(f'- {{phone_number: "{number}", cust_space_id: {SPACE}}}\n')
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "mapped.yml").symlink_to("..data/mapped.yml")
    section = filed(world, 7, f"{tmp_path}/*.csv", f"{tmp_path}/*.yml", label_columns=["team"])
    never_throttle(world)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:

        def ups() -> dict[str, float]:
            return {
                Path(dict(labels)["file"]).name: up for (name, labels), up in exporter.scrape().items() if name == UP
            }

        names = ("changed.csv", "gone.csv", "half.csv", "mapped.yml")
        before = exporter.scraped(
            lambda scraped: statuses(scraped) == dict.fromkeys([one, two, three, four, five], "VERIFIED"), "the start"
        )
        assert ups() == dict.fromkeys(names, 1)
        assert [
            dict(labels)["team"]
            for name, labels in before
            if name == "cams_phone_number_info" and "team" in dict(labels)
        ] == ["care"] * 4
        (tmp_path / "changed.csv").write_text(rows([two, seven]))
        (tmp_path / "half.csv").write_text(rows([three]) + one[:-2])
        (tmp_path / "gone.csv").unlink()
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        until(lambda: exporter.statuses() == dict.fromkeys([two, three, four, six, seven], "VERIFIED"), "the change")
        until(lambda: ups() == {**dict.fromkeys(names, 1.0), "half.csv": 0, "gone.csv": 0}, "the metric")
        after = exporter.scrape()
        assert (value(after, SUCCESS_TIME, phone_number=two) or 0) >= (
            value(before, SUCCESS_TIME, phone_number=two) or 0
        )
        assert errors(after) == {}
        until(lambda: exporter.log.count("number file refused") >= 2, "it is said of both")
        assert exporter.log.count("number file refused") == 2
        assert "half.csv:3: the row has 1 cells and the header 4" in exporter.log
        assert "configuration reloaded" not in exporter.log
        exporter.reload()  # while a file is faulty it is refused; that one is gone is no fault
        exporter.logged("configuration refused")
        assert len(exporter.statuses()) == 5
        (tmp_path / "half.csv").write_text(rows([three]))
        exporter.reload()
        until(lambda: exporter.statuses() == dict.fromkeys([two, three, six, seven], "VERIFIED"), "the reload")
        until(lambda: ups() == dict.fromkeys([name for name in names if name != "gone.csv"], 1), "the metric again")
    asked = [arrival.phone_number for arrival in world.arrivals()]
    assert world.surely_in_a_second("main") <= 10
    assert set(asked) == set(phones(7))


def test_a_mount_that_hangs_stops_nothing(tmp_path: Path) -> None:
    """Polls, scrapes and the files elsewhere go on; the numbers of the file stay in force."""
    world = World()
    one, two, three = phones(3)
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.csv").write_text(rows([one]))
    (tmp_path / "files").symlink_to("good")
    (tmp_path / "b.csv").write_text(rows([two]))
    (tmp_path / "mount").mkdir()
    section = filed(world, 3, f"{tmp_path}/files/*.csv", f"{tmp_path}/b.csv")
    with (
        hanging_mount(tmp_path / "mount") as mount,
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section])) as exporter,
    ):
        until(lambda: exporter.statuses() == dict.fromkeys([one, two], "VERIFIED"), "the start")
        (tmp_path / "new").symlink_to(mount)
        (tmp_path / "new").replace(tmp_path / "files")
        (tmp_path / "b.csv").write_text(rows([three]))
        until(lambda: exporter.statuses() == dict.fromkeys([one, three], "VERIFIED"), "the file elsewhere")
        until(lambda: value(exporter.scrape(), UP, file=f"{tmp_path}/files/a.csv") == 0, "it is said")
        before = len(world.arrivals())
        until(lambda: len(world.arrivals()) > before + 3, "polls go on")
        assert exporter.get("/-/healthy")[0] == 200
        exporter.logged("its mount gives no answer")


def test_a_faulty_file_at_the_start_ends_with_status_2_and_the_check_shows_the_files(tmp_path: Path) -> None:
    section = filed(World(), 1, "fleet.csv")
    (tmp_path / "config.yml").write_text(str(config("https://127.0.0.1:9", [section])).replace("'", '"'))
    (tmp_path / "fleet.csv").write_text(rows(["12"]))
    flag = f"--config.file={tmp_path}/config.yml"
    for flags in ([flag], [flag, "--once"], [flag, "--config.check"]):
        done = run_exporter(*flags)
        assert done.returncode == 2
        assert f'{tmp_path}/fleet.csv:2: [0].phone_number: "12" has 2 digits; write 5 to 15' in done.stderr
    (tmp_path / "fleet.csv").write_text(rows(phones(3)))
    done = run_exporter(flag, "--config.check")
    assert done.returncode == 0
    assert f"{tmp_path}/fleet.csv  main     3" in done.stdout
