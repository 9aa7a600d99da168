"""The configuration file over time: streams, which are read once, and a file whose content changes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from exporter.config import Source, Variables
from exporter.config.source import SETTLE_SECONDS
from exporter.config.strict_yaml.streams import read_stream
from exporter.errors import ConfigError
from tests.support.configs import ACCOUNTS, NUMBER, written
from tests.support.patience import PATIENCE_SECONDS

OTHER = ACCOUNTS.replace("main", "other")


def piped(text: str) -> int:
    """The descriptor of a pipe that another thread fills."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "w") as file:
            file.write(text)

    threading.Thread(target=write).start()
    return reader


def test_an_open_pipe_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds at once.  Relative paths start from the working folder."""
    (tmp_path / "list.yml").write_text(f"[{NUMBER}]")
    monkeypatch.chdir(tmp_path)
    reader = piped("accounts: [{name: main, number_files: [list.yml]}]\n" + "# a long comment\n" * 20_000)
    try:
        source = Source(Path(f"/dev/fd/{reader}"), Variables())
        config = source.load()
    finally:
        os.close(reader)
    assert [number.phone_number for number in config.accounts[0].numbers] == ["8613800001234"]
    with pytest.raises(ConfigError, match=r"^/dev/fd/\d+: was read from a pipe, which gives its content only once; "):
        source.load()


def test_a_pipe_with_a_name_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = threading.Thread(target=lambda: path.write_text(ACCOUNTS))
    writing.start()
    source = Source(path, Variables())
    assert source.load().accounts[0].name == "main"
    writing.join(PATIENCE_SECONDS)
    with pytest.raises(ConfigError, match="was read from a pipe"):
        source.load()


def test_a_pipe_that_nobody_writes_to_is_a_fault_and_no_endless_wait(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"^is a pipe that nobody writes to within 0 s; start the program that does$"):
        read_stream(path, 1, 0.0)


def test_a_stream_that_was_refused_may_be_read_again(tmp_path: Path) -> None:
    """Its text is the fault, as for a file: the start ends with it."""
    reader = piped("accounts: x")
    try:
        with pytest.raises(ConfigError, match=r"^/dev/fd/\d+:1: accounts: is a string"):
            Source(Path(f"/dev/fd/{reader}"), Variables()).load()
    finally:
        os.close(reader)


def test_a_file_that_the_caller_opened_is_read_from_its_beginning(tmp_path: Path) -> None:
    """As with `< config.yml`."""
    with written(tmp_path, ACCOUNTS).open() as file:
        assert Source(Path(f"/dev/fd/{file.fileno()}"), Variables()).load().digest is None


def test_a_device_is_no_stream() -> None:
    with Path("/dev/null").open() as null, pytest.raises(ConfigError, match="is neither a file nor a pipe; name one"):
        Source(Path(f"/dev/fd/{null.fileno()}"), Variables()).load()


def test_a_changed_content_counts_after_two_equal_looks(tmp_path: Path) -> None:
    source = Source(written(tmp_path, ACCOUNTS), Variables())
    config = source.load()
    assert not source.has_changed(config)
    assert source.next_look_seconds(30.0) == 30
    written(tmp_path, OTHER)
    assert not source.has_changed(config)
    assert source.next_look_seconds(30.0) == SETTLE_SECONDS
    assert source.next_look_seconds(0.5) == 0.5
    written(tmp_path, f"{OTHER} # written on")
    assert not source.has_changed(config)
    assert source.has_changed(config)
    assert source.next_look_seconds(30.0) == 30


def test_the_content_counts_not_the_time(tmp_path: Path) -> None:
    path = written(tmp_path, ACCOUNTS)
    source = Source(path, Variables())
    config = source.load()
    os.utime(path, (1, 1))
    assert not any(source.has_changed(config) for _ in range(3))
    written(tmp_path, OTHER)
    os.utime(path, (1, 1))
    assert [source.has_changed(config) for _ in range(3)] == [False, True, False]


def test_a_swapped_symbolic_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes updates a ConfigMap: `config.yml` leads over `..data`, which is replaced."""
    for name, text in (("one", ACCOUNTS), ("two", OTHER)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, text)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "config.yml").symlink_to("..data/config.yml")
    source = Source(tmp_path / "config.yml", Variables())
    config = source.load()
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "..data")
    assert [source.has_changed(config) for _ in range(2)] == [False, True]
    assert source.load().accounts[0].name == "other"


def test_a_refused_content_is_tried_once_and_the_old_one_again_when_it_comes_back(tmp_path: Path) -> None:
    """Else the metric would say for ever that the last reload failed."""
    source = Source(written(tmp_path, ACCOUNTS), Variables())
    config = source.load()
    written(tmp_path, "accounts: []")
    assert [source.has_changed(config) for _ in range(4)] == [False, True, False, False]
    (tmp_path / "config.yml").unlink()
    assert [source.has_changed(config) for _ in range(4)] == [False, True, False, False]
    written(tmp_path, ACCOUNTS)
    assert [source.has_changed(config) for _ in range(4)] == [False, True, False, False]


def test_what_a_reload_by_hand_put_in_force_is_no_news(tmp_path: Path) -> None:
    source = Source(written(tmp_path, ACCOUNTS), Variables())
    config = source.load()
    assert not source.has_changed(config)
    written(tmp_path, OTHER)
    config = source.load()
    assert not any(source.has_changed(config) for _ in range(3))
