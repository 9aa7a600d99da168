"""Secrets in files: read again when they change, kept while they can't be read, never shown."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from exporter.cams.credentials.key_files import KeyFiles
from exporter.config import Secret
from exporter.errors import CredentialsError
from tests.support.clock import FakeClock

INLINE = {"access_key_id": Secret("LTAIexample", None), "access_key_secret": Secret("inline-secret", None)}


def in_file(path: Path, content: str | bytes = "file-secret\n") -> dict[str, Secret]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {**INLINE, "access_key_secret": Secret(None, path)}


def fault(keys: KeyFiles) -> str:
    with pytest.raises(CredentialsError) as caught:
        keys.values()
    return str(caught.value)


def test_inline_secrets() -> None:
    assert KeyFiles(INLINE, FakeClock(), "main").values() == {
        "access_key_id": "LTAIexample",
        "access_key_secret": "inline-secret",
    }


@pytest.mark.parametrize("content", ["s3cr3t", "s3cr3t\n", "s3cr3t \r\n\n", "\ufeffs3cr3t\n"])
def test_white_space_at_the_end_is_not_part_of_a_secret(content: str, tmp_path: Path) -> None:
    keys = KeyFiles(in_file(tmp_path / "key", content), FakeClock(), "main")
    assert keys.values()["access_key_secret"] == "s3cr3t"


def test_a_fault_of_a_file_has_its_name_but_not_its_content(tmp_path: Path) -> None:
    """`exporter.config.secrets` has the reasons."""
    path = tmp_path / "key"
    said = fault(KeyFiles(in_file(path, "s3cr3t\nsecond"), FakeClock(), "main"))
    assert said == f'access_key_secret_file: "{path}" holds 2 lines; write the key alone, on one line'


@pytest.mark.parametrize("content", [None, "", "s3cr3t\nsecond"])
def test_a_file_whose_name_holds_variables_is_shown_as_it_is_written(tmp_path: Path, content: str | None) -> None:
    """For the log and the pages, while the exporter runs."""
    path = tmp_path / "key.txt"
    if content is not None:
        path.write_text(content)
    said = fault(KeyFiles({"access_key_secret": Secret(None, path, "${DIR}/key.txt")}, FakeClock(), "main"))
    assert said.startswith('access_key_secret_file: "${DIR}/key.txt" ')
    assert str(tmp_path) not in said


def test_an_inline_value_that_is_not_a_key_is_refused() -> None:
    said = fault(KeyFiles({"access_key_secret": Secret("s3 cr3t", None)}, FakeClock(), "main"))
    assert said.startswith("access_key_secret: holds a space or another character that no key has")


@pytest.mark.parametrize("name", ["wJalrXUtnFEMIK7MDENGbPxRfiCYEX", "/wJalrXUtnFEMI", "a\0b", "x" * 300])
def test_a_file_that_is_not_there_may_be_the_secret_itself_and_is_not_shown(name: str, tmp_path: Path) -> None:
    said = fault(KeyFiles({"access_key_secret": Secret(None, tmp_path / name)}, FakeClock(), "main"))
    assert said.startswith("access_key_secret_file: the file named here cannot be read: ")
    assert name not in said


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for odd in (path, tmp_path, Path("/dev/zero")):
        said = fault(KeyFiles({"access_key_secret": Secret(None, odd)}, FakeClock(), "main"))
        assert said == f'access_key_secret_file: "{odd}" is not a regular file; name a file'


def test_a_file_that_fails_while_it_is_read_is_named() -> None:
    path = Path("/proc/self/mem")  # opens, and fails to read at 0
    said = fault(KeyFiles({"access_key_secret": Secret(None, path)}, FakeClock(), "main"))
    assert said.startswith(f'access_key_secret_file: "{path}" cannot be read: input/output error')


class Rotating(type(Path())):  # type: ignore[misc] # the class that Path makes, which depends on the platform
    """A file that is rotated together with `beside`, after `beside` was read and before this one is."""

    beside: Path
    uses = 0

    def __fspath__(self) -> str:
        self.uses += 1
        path = str(self)
        if self.uses == 2:  # the first call looks at its time and size
            Path(path).write_text("secret-of-the-new-one")
            self.beside.write_text("id-of-the-new-one")
        return path


def test_files_that_change_while_they_are_read_are_read_once_more(tmp_path: Path) -> None:
    """Otherwise the ID of one key could be used with the secret of another."""
    key_id, secret = tmp_path / "id", Rotating(tmp_path / "secret")
    key_id.write_text("id1")
    Path(str(secret)).write_text("secret1")
    secret.beside = key_id
    clock = FakeClock()
    keys = KeyFiles({"access_key_id": Secret(None, key_id), "access_key_secret": Secret(None, secret)}, clock, "main")
    both = {"access_key_id": "id-of-the-new-one", "access_key_secret": "secret-of-the-new-one"}
    assert keys.values() == both
    first = keys.values()
    clock.advance(1.0)
    assert keys.values() is first


def test_a_changed_file_is_read_within_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles(in_file(path, "first"), clock, "main")
    first = keys.values()
    path.write_text("second")
    assert keys.values() is first
    clock.advance(1.0)
    with caplog.at_level(logging.INFO):
        assert keys.values()["access_key_secret"] == "second"
    assert [record.getMessage() for record in caplog.records] == ["credentials changed on disk"]
    assert first["access_key_secret"] == "first"


def test_an_unchanged_file_gives_the_same_object(tmp_path: Path) -> None:
    """So callers know that the content is unchanged."""
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles(in_file(path), clock, "main")
    first = keys.values()
    clock.advance(5.0)
    assert keys.values() is first
    path.touch()
    clock.advance(5.0)
    assert keys.values() is first


def test_changes_are_counted_for_those_who_wait_for_another_key(tmp_path: Path) -> None:
    """Each call looks at the files.  The first good read counts as a change, the same key written again does not."""
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles({"access_key_secret": Secret(None, path)}, clock, "main")
    seen = []
    for content in ("", "first", "first\n", "second", " odd ", "second"):
        path.write_text(content)
        clock.advance(1.0)
        seen.append(keys.changes())
    assert seen == [0, 1, 1, 2, 2, 2]


def test_swapped_symlinks_are_seen(tmp_path: Path) -> None:
    """Kubernetes swaps a symlink to a folder; the file's own time may be older than before."""
    clock = FakeClock()
    for version, content in (("v1", "first"), ("v2", "other")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "key").write_text(content)
        os.utime(tmp_path / version / "key", (1000, 1000))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "key").symlink_to("..data/key")
    keys = KeyFiles({"access_key_secret": Secret(None, tmp_path / "key")}, clock, "main")
    assert keys.values() == {"access_key_secret": "first"}
    (tmp_path / "new").symlink_to("v2")
    (tmp_path / "new").rename(tmp_path / "..data")
    clock.advance(1.0)
    assert keys.values() == {"access_key_secret": "other"}


def test_all_files_change_together_or_not_at_all(tmp_path: Path) -> None:
    """A new ID with an old secret would be refused, so if one cannot be read, the old pair is kept."""
    clock, key_id, secret = FakeClock(), tmp_path / "id", tmp_path / "secret"
    key_id.write_text("id1")
    secret.write_text("secret1")
    keys = KeyFiles({"access_key_id": Secret(None, key_id), "access_key_secret": Secret(None, secret)}, clock, "main")
    before = dict(keys.values())
    key_id.write_text("id2")
    secret.write_text("")
    clock.advance(1.0)
    assert keys.values() == before
    secret.write_text("secret2")
    clock.advance(1.0)
    assert keys.values() == {"access_key_id": "id2", "access_key_secret": "secret2"}


GONE = "the file named here cannot be read: no such file or directory; create it, or fix the path"


def test_a_removed_file_keeps_the_last_value_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles(in_file(path), clock, "main")
    first = keys.values()
    path.unlink()
    for _ in range(3):
        clock.advance(1.0)
        assert keys.values() is first
    path.write_text("")
    clock.advance(1.0)
    assert keys.values() is first
    errors = [record.fields["error"] for record in caplog.records]  # type: ignore[attr-defined] # logs.fields
    assert errors == [
        f"access_key_secret_file: {GONE}",
        f'access_key_secret_file: "{path}" is empty; fill it',
    ]
    assert all("file-secret" not in error for error in errors)


def test_a_second_disappearance_is_said_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles(in_file(path), clock, "main")
    keys.values()
    hidden = tmp_path / "hidden"
    for _ in range(2):
        path.rename(hidden)
        clock.advance(1.0)
        keys.values()
        hidden.rename(path)
        clock.advance(1.0)
        keys.values()
    assert len(caplog.records) == 2


def test_a_file_that_appears_late_is_read_then(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles({"access_key_secret": Secret(None, path)}, clock, "main")
    fault(keys)
    path.write_text("late")
    fault(keys)  # looked at a moment ago
    clock.advance(1.0)
    assert keys.values() == {"access_key_secret": "late"}


def test_a_refused_key_has_the_files_read_at_once(tmp_path: Path) -> None:
    """Also if the file seems unchanged."""
    clock, path = FakeClock(), tmp_path / "key"
    keys = KeyFiles(in_file(path, "first"), clock, "main")
    keys.values()
    stamp = path.stat()
    with path.open("r+") as opened:
        opened.write("other")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    keys.check_soon()
    assert keys.values()["access_key_secret"] == "other"


def test_no_secret_in_a_repr(tmp_path: Path) -> None:
    keys = KeyFiles(in_file(tmp_path / "key"), FakeClock(), "main")
    keys.values()
    assert "secret" not in repr(keys)
