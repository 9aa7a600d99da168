"""Number files that change while the exporter runs: what the looks put in force, and what they leave."""

from __future__ import annotations

import gc
import json
import logging
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.app import App
from exporter.config import Config, FollowedFiles, load
from exporter.config.number_files.files import MAX_FILES
from exporter.config.number_files.follow import GONE, MAX_CHANGES, UNSETTLED
from exporter.metrics.exposition import Format
from exporter.model import NumberKey, PhoneNumber
from tests.support.clock import FakeClock
from tests.support.configs import written

HEADER = "phone_number,cust_space_id,name\n"


class Followed:
    """A configuration in `folder` and its followed files; numbers are named by their last digits."""

    def __init__(self, folder: Path, *globs: str, **more: object) -> None:
        self.folder = folder
        account = {"name": "main", "number_files": list(globs or ["*.csv"]), **more}
        self.config: Config = load(written(folder, json.dumps({"accounts": [account]})))
        self.files = FollowedFiles(self.config)

    def look(self, times: int = 2) -> list[str]:
        """The numbers in force after so many looks."""
        for _ in range(times):
            self.config = self.files.look(self.config)
        return self.numbers

    @property
    def numbers(self) -> list[str]:
        return [number.phone_number.removeprefix("8613800").lstrip("0") for number in self.config.accounts[0].numbers]

    @property
    def up(self) -> dict[str, int]:
        return {os.path.relpath(file, self.folder): int(is_up) for file, is_up in self.files.up().items()}


def rows(*numbers: int) -> str:
    return HEADER + "".join(f"8613800{number:06},cams-1,n{number}\n" for number in numbers)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The faults that were logged."""
    return [record.__dict__["fields"]["error"] for record in caplog.records if record.levelno == logging.ERROR]


@pytest.fixture
def one(tmp_path: Path) -> Followed:
    """`a.csv` with the numbers 1 and 2."""
    (tmp_path / "a.csv").write_text(rows(1, 2))
    return Followed(tmp_path)


def test_a_file_that_stays_the_same_changes_nothing(one: Followed) -> None:
    config = one.config
    os.utime(one.folder / "a.csv", (1, 1))
    assert one.look(5) == ["1", "2"]
    assert one.config is config
    assert one.up == {"a.csv": 1}


def test_a_changed_file_counts_after_two_equal_looks_and_numbers_come_and_go(one: Followed) -> None:
    """By content: size and times may be those of before."""
    stamp = (one.folder / "a.csv").stat()
    (one.folder / "a.csv").write_text(rows(1, 3))
    os.utime(one.folder / "a.csv", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert one.look(1) == ["1", "2"]
    assert one.look(1) == ["1", "3"]


def test_a_file_that_grows_between_looks_is_not_used(one: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """It is half written, and its last row is cut."""
    whole = rows(1, 2, 3, 4)
    for length in (30, 50, 60, 75, 90):
        (one.folder / "a.csv").write_text(whole[:length])
        assert one.look(1) == ["1", "2"]
    (one.folder / "a.csv").write_text(whole)
    assert one.look(2) == ["1", "2", "3", "4"]
    assert errors(caplog) == []
    assert one.up == {"a.csv": 1}


def test_a_faulty_file_keeps_its_last_good_list_and_says_so_once(
    one: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    (one.folder / "a.csv").write_text(rows(1) + "12,cams-1,\n13,cams-1,\n")
    assert one.look(5) == ["1", "2"]
    assert one.up == {"a.csv": 0}
    fault = f'{one.folder}/a.csv:3: [1].phone_number: "12" has 2 digits; write 5 to 15, country code included'
    assert errors(caplog) == [fault]
    assert caplog.records[-1].__dict__["fields"]["more_faults"] == 1
    (one.folder / "a.csv").write_text(rows(7))
    assert one.look() == ["7"]
    assert one.up == {"a.csv": 1}


def test_a_fault_that_is_undone_needs_no_change_of_numbers(one: Followed) -> None:
    content, config = (one.folder / "a.csv").read_text(), one.config
    (one.folder / "a.csv").write_text("odd")
    one.look()
    assert one.up == {"a.csv": 0}
    (one.folder / "a.csv").write_text(content)
    one.look()
    assert one.up == {"a.csv": 1}
    assert one.config is config


@pytest.mark.parametrize("content", ["", HEADER])
def test_an_empty_file_keeps_its_last_good_list(one: Followed, content: str) -> None:
    (one.folder / "a.csv").write_text(content)
    assert one.look() == ["1", "2"]
    assert one.up == {"a.csv": 0}


def test_a_file_that_is_gone_keeps_its_last_good_list_until_it_is_back(
    one: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    (one.folder / "a.csv").rename(one.folder / "away")
    assert one.look(1) == ["1", "2"]
    assert one.up == {"a.csv": 1}
    assert one.look(3) == ["1", "2"]
    assert one.up == {"a.csv": 0}
    assert errors(caplog) == [
        f"{one.folder}/a.csv: {GONE}",
    ]
    (one.folder / "a.csv").write_text(rows(2, 3))
    assert one.look() == ["2", "3"]
    assert one.up == {"a.csv": 1}


def test_a_new_file_is_taken_in_and_one_that_was_never_good_is_shown_while_it_is_there(one: Followed) -> None:
    (one.folder / "0.csv").write_text(rows(5))
    (one.folder / "c.csv").write_text("odd")
    assert one.look(1) == ["1", "2"]
    assert one.look(1) == ["5", "1", "2"]  # in the order of a start
    for _ in range(2):
        assert one.up == {"a.csv": 1, "0.csv": 1, "c.csv": 0}
        (one.folder / "c.csv").unlink()
        one.look()
        assert one.up == {"a.csv": 1, "0.csv": 1}
        (one.folder / "c.csv").write_text("odd")
        one.look()


def test_a_name_of_any_bytes_is_shown_in_metrics_and_logs(one: Followed, caplog: pytest.LogCaptureFixture) -> None:
    name = os.fsencode(one.folder) + b"/caf\xe9\n.csv"
    Path(os.fsdecode(name)).write_text("odd")
    one.look()
    assert one.up == {"a.csv": 1, "caf\\udce9\\n.csv": 0}
    assert "\n" not in errors(caplog)[0]
    caplog.text.encode()


def test_an_account_that_began_without_a_file_takes_the_first_one(tmp_path: Path) -> None:
    followed = Followed(tmp_path, "numbers/*.csv")
    assert followed.look() == []
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "a.csv").write_text(rows(1))
    assert followed.look() == ["1"]


def test_a_file_that_never_settles_is_said_to_be_faulty(one: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """It would never count; a column that is not used may be what changes."""
    for second in range(MAX_CHANGES):
        assert one.up == {"a.csv": 1}
        (one.folder / "a.csv").write_text(rows(1, 2, 3).replace("n1", f"at {second}"))
        one.look(1)
    (one.folder / "a.csv").write_text(rows(1, 2, 3))
    assert one.look(1) == ["1", "2"]
    assert one.up == {"a.csv": 0}
    assert errors(caplog) == [f"{one.folder}/a.csv: {UNSETTLED}"]
    assert one.look(1) == ["1", "2", "3"]
    assert one.up == {"a.csv": 1}


def test_a_file_that_settles_as_it_was_is_good_again(one: Followed) -> None:
    content, config = (one.folder / "a.csv").read_text(), one.config
    for second in range(MAX_CHANGES):
        (one.folder / "a.csv").write_text(rows(second))
        one.look(1)
    assert one.up == {"a.csv": 0}
    (one.folder / "a.csv").write_text(content)
    one.look()
    assert one.up == {"a.csv": 1}
    assert one.config is config


def test_a_glob_that_names_too_many_files_is_one_fault_and_keeps_the_lists_that_are_in_force(
    one: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one series and one line of the log for each file."""
    for index in range(MAX_FILES):
        (one.folder / f"z{index}.csv").touch()
    assert one.look() == ["1", "2"]
    assert one.up == {"*.csv": 0, "a.csv": 0}
    assert len(errors(caplog)) == 2
    for index in range(MAX_FILES):
        (one.folder / f"z{index}.csv").unlink()
    one.look()
    assert one.up == {"a.csv": 1}


def test_a_folder_that_can_no_longer_be_read_is_said_even_if_it_had_no_file(tmp_path: Path) -> None:
    (tmp_path / "numbers").mkdir()
    followed = Followed(tmp_path, "numbers/*.csv")
    (tmp_path / "numbers").rmdir()
    (tmp_path / "numbers").symlink_to("numbers")
    followed.look()
    assert followed.up == {"numbers/*.csv": 0}
    (tmp_path / "numbers").unlink()
    followed.look()
    assert followed.up == {}


def test_a_swap_of_a_configmap_is_seen(tmp_path: Path) -> None:
    """The files are links through ..data, which Kubernetes swaps; their own stat may stay the same."""
    for version, numbers in (("..1", (1,)), ("..2", (2, 3))):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.csv").write_text(rows(*numbers))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.csv").symlink_to("..data/a.csv")
    followed = Followed(tmp_path)
    assert followed.look() == ["1"]
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert followed.look() == ["2", "3"]
    assert followed.up == {"a.csv": 1}


class TestTwo:
    """Two files are judged together."""

    @pytest.fixture
    def two(self, tmp_path: Path) -> Followed:
        (tmp_path / "a.csv").write_text(rows(1, 2))
        (tmp_path / "b.csv").write_text(rows(3))
        return Followed(tmp_path, numbers=[{"phone_number": "8613800000009", "cust_space_id": "cams-1"}])

    def test_a_number_moves(self, two: Followed) -> None:
        (two.folder / "a.csv").write_text(rows(1))
        (two.folder / "b.csv").write_text(rows(2, 3))
        assert two.look() == ["9", "1", "2", "3"]
        assert two.up == {"a.csv": 1, "b.csv": 1}

    def test_two_files_swap_their_lists(self, two: Followed) -> None:
        (two.folder / "a.csv").write_text(rows(3))
        (two.folder / "b.csv").write_text(rows(1, 2))
        assert two.look() == ["9", "3", "1", "2"]
        assert two.up == {"a.csv": 1, "b.csv": 1}

    def test_a_number_that_comes_before_it_goes_waits_until_it_is_gone(
        self, two: Followed, caplog: pytest.LogCaptureFixture
    ) -> None:
        (two.folder / "b.csv").write_text(rows(3, 2))
        assert two.look() == ["9", "1", "2", "3"]
        assert two.up == {"a.csv": 1, "b.csv": 0}
        what = f"8613800000002 is already given for this space, in {two.folder}/a.csv:3; remove one"
        assert errors(caplog) == [f"{two.folder}/b.csv:3: [1].phone_number: {what}"]
        (two.folder / "a.csv").write_text(rows(1))
        assert two.look() == ["9", "1", "3", "2"]
        assert two.up == {"a.csv": 1, "b.csv": 1}

    def test_a_fault_is_not_said_again_when_another_file_changes(
        self, two: Followed, caplog: pytest.LogCaptureFixture
    ) -> None:
        (two.folder / "a.csv").write_text("odd")
        two.look()
        (two.folder / "b.csv").write_text(rows(4))
        assert two.look() == ["9", "1", "2", "4"]
        assert len(errors(caplog)) == 1

    def test_a_number_that_the_configuration_has_is_refused_with_its_line(
        self, two: Followed, caplog: pytest.LogCaptureFixture
    ) -> None:
        (two.folder / "b.csv").write_text(rows(9))
        assert two.look() == ["9", "1", "2", "3"]
        assert f"in {two.folder}/config.yml:1; remove one" in errors(caplog)[0]

    def test_a_faulty_file_does_not_keep_another_from_the_numbers_that_it_only_would_have(self, two: Followed) -> None:
        (two.folder / "a.csv").write_text(rows(7) + "odd,cams-1,\n")
        (two.folder / "b.csv").write_text(rows(7))
        assert two.look() == ["9", "1", "2", "7"]
        assert two.up == {"a.csv": 0, "b.csv": 1}

    def test_a_faulty_file_keeps_its_numbers_from_another_that_would_take_them(self, two: Followed) -> None:
        """Its last good list stays in force, and each number stands in one list."""
        (two.folder / "a.csv").write_text("odd")
        (two.folder / "b.csv").write_text(rows(2))
        assert two.look() == ["9", "1", "2", "3"]
        assert two.up == {"a.csv": 0, "b.csv": 0}


NAMES = ("a.csv", "b.csv", "c.csv")
CONTENTS = (
    st.none()
    | st.just("odd")
    | st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True).map(lambda numbers: rows(*numbers))
)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, CONTENTS)), min_size=1, max_size=6))
def test_whatever_files_do_a_list_is_whole_and_up_is_true(steps: list[dict[str, str | None]]) -> None:
    """Each list in force is what its file holds, or what it was before; the metric says which."""
    with tempfile.TemporaryDirectory() as folder:
        followed = Followed(Path(folder), numbers=[{"phone_number": "8613800000009", "cust_space_id": "cams-1"}])
        held: dict[str, str] = {}
        for step in steps:
            for name, content in step.items():
                (Path(folder) / name).unlink(missing_ok=True)
                held.pop(name, None)
                if content is not None:
                    (Path(folder) / name).write_text(content)
                    held[name] = content
            before = in_force(followed)
            followed.look()
            after = in_force(followed)
            assert len(followed.numbers) == len(set(followed.numbers))
            for name in NAMES:
                if name in after and after[name] == held.get(name):
                    assert followed.up[name] == 1
                else:
                    assert after.get(name) == before.get(name)
                    assert followed.up.get(name, 0) == 0
                    assert (name in followed.up) == (name in held or name in before)


def in_force(followed: Followed) -> dict[str, str]:
    """The list of each file that is in force, as the file would hold it."""
    lists: dict[str, list[int]] = {}
    (main,) = followed.config.accounts
    for number, (file, _) in zip(followed.numbers, main.places(), strict=True):
        lists.setdefault(Path(file).name, []).append(int(number))
    return {name: rows(*numbers) for name, numbers in lists.items()}


def test_masked_labels_that_collide_are_refused_and_numbers_stay_hidden(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.csv").write_text(rows(100134))
    text = "phone_number_label: masked\naccounts: [{name: main, number_files: ['*.csv']}]"
    config = load(written(tmp_path, text))
    files = FollowedFiles(config)
    (tmp_path / "b.csv").write_text(rows(200134))
    for _ in range(2):
        config = files.look(config)
    assert [number.label for number in config.accounts[0].numbers] == ["861380*****34"]
    (fault,) = errors(caplog)
    assert fault.endswith(f"in {tmp_path}/a.csv:2; write phone_number_label: hashed")
    assert "8613800" not in caplog.text


def test_how_long_a_status_counts_follows_the_count_of_numbers(one: Followed, caplog: pytest.LogCaptureFixture) -> None:
    """By default three passes; the log says once that a pass no longer fits."""
    for count in (2000, 2001):
        (one.folder / "a.csv").write_text(rows(*range(count)))
        one.look()
    (main,) = one.config.accounts
    pass_seconds = main.times().pass_seconds
    assert pass_seconds > 400
    assert main.stale_after_seconds == pytest.approx(3 * pass_seconds)
    assert caplog.text.count("asking all numbers takes 6m41s, longer than scrape_interval (1m)") == 1


def test_a_stale_after_that_is_written_stays(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows(1))
    config = load(written(tmp_path, "stale_after: 20m\naccounts: [{name: main, number_files: ['*.csv']}]"))
    files = FollowedFiles(config)
    (tmp_path / "a.csv").write_text(rows(*range(5000)))
    for _ in range(2):
        config = files.look(config)
    assert config.accounts[0].stale_after_seconds == 1200


class TestApp:
    """The exporter applies what the looks find."""

    @pytest.fixture
    def app(self, tmp_path: Path) -> App:
        (tmp_path / "a.csv").write_text(rows(1, 2))
        accounts = [
            {"name": "filed", "number_files": ["*.csv"]},
            {"name": "plain", "numbers": [{"phone_number": "8613900000001", "cust_space_id": "s"}]},
        ]
        config = load(written(tmp_path, json.dumps({"accounts": accounts})))
        return App(config, FakeClock(), version="0", revision="0")

    def counts(self, app: App) -> dict[str, int]:
        return {account.account: account.phone_numbers for account in app.view()[1]}

    def metrics(self, app: App) -> list[str]:
        text = app.exposition.scrape(Format.TEXT).decode()
        return [line for line in text.splitlines() if line.startswith("cams_exporter_number_file_up")]

    def copies(self, key: NumberKey) -> int:
        """How many objects in memory are this number."""
        gc.collect()
        return sum(isinstance(one, PhoneNumber) and one.key == key for one in gc.get_objects())

    def test_numbers_come_and_go_and_what_stays_is_the_same_object(self, app: App, tmp_path: Path) -> None:
        stays = NumberKey("filed", "cams-1", "8613800000002")
        before = {record.number.key: record.number for record in app.view()[0].numbers}
        copies = self.copies(stays)
        (tmp_path / "a.csv").write_text(rows(2, 3, 4))
        for _ in range(2):
            app.look_at_number_files()
        after = {record.number.key: record.number for record in app.view()[0].numbers}
        assert sorted(key.phone_number[-1] for key in after if key.account == "filed") == ["2", "3", "4"]
        assert after[stays] is before[stays]
        assert self.copies(stays) == copies
        assert self.counts(app) == {"filed": 3, "plain": 1}
        assert app.details(NumberKey("filed", "cams-1", "8613800000001")) is None

    def test_the_metric_follows_and_a_reload_takes_the_numbers_of_a_file_that_is_gone_away(
        self, app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        up = f'cams_exporter_number_file_up{{file="{tmp_path}/a.csv"}}'
        assert self.metrics(app) == [f"{up} 1.0"]
        (tmp_path / "b.csv").write_text(rows(3))
        (tmp_path / "a.csv").unlink()
        for _ in range(2):
            app.look_at_number_files()
        assert self.metrics(app) == [f"{up} 0.0", f"{up.replace('a.csv', 'b.csv')} 1.0"]
        assert self.counts(app) == {"filed": 3, "plain": 1}
        app.reload(lambda: load(tmp_path / "config.yml"))
        assert self.metrics(app) == [f"{up.replace('a.csv', 'b.csv')} 1.0"]
        assert self.counts(app) == {"filed": 1, "plain": 1}
        assert caplog.records[-1].getMessage() == "number file left, its list is no longer in force"
        left = {"account": "filed", "file": f"{tmp_path}/a.csv", "numbers": 2}
        assert caplog.records[-1].__dict__["fields"] == left

    def test_after_a_reload_the_files_of_the_new_configuration_are_followed(self, app: App, tmp_path: Path) -> None:
        (tmp_path / "c.yml").write_text('- {phone_number: "8613800000007", cust_space_id: s}\n')
        text = json.dumps({"accounts": [{"name": "plain", "number_files": ["c.yml"]}]})
        app.reload(lambda: load(written(tmp_path, text)))
        (tmp_path / "c.yml").write_text('- {phone_number: "8613800000008", cust_space_id: s}\n')
        for _ in range(2):
            app.look_at_number_files()
        assert [record.number.phone_number for record in app.view()[0].numbers] == ["8613800000008"]
        assert self.counts(app) == {"plain": 1}
