"""Certificates and keys that the web configuration gives inline or names by file, as bytes in PEM form.

Every file is read once, here; OpenSSL gets the bytes, so that a key given inline never touches a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.config.strict_yaml import Document, Section, named, read_named
from exporter.web.security.values import value_of

MAX_PEM_BYTES = 4 * 1024 * 1024
"""A bundle of all public authorities has a quarter of a megabyte."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def material(section: Section, key: str, files: list[Path], *, required: bool = False) -> bytes | None:
    """The bytes of `key`, or of the file named at `key`_file; None where they are absent or refused.

    A file that is named goes to `files`, whether it can be read or not.
    """
    file_key, name = f"{key}_file", given(section, key)
    if key in section and file_key in section:
        section.fault(file_key, f"{key} is given as well; remove one of the two")
        return None
    if name not in section or value_of(section, name) == "":
        if required:
            section.fault(name, f"missing one of {key} or {file_key}; write {file_key}: FILE")
        elif name in section:
            section.fault(name, "is empty; write it, or remove the line")
        return None
    if name == key:
        text = section.text(key, str, secret=True)
        return None if text is None else text.encode()
    return section.text(file_key, lambda name: _content(section.document, name, files), secret=True)


def given(section: Section, key: str) -> str:
    """Which of `key` and `key`_file is there; the latter where neither is."""
    return key if key in section else f"{key}_file"


@contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `content` while the block lasts; it is in memory, not on a disk."""
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def certificates(pem: bytes) -> str:
    """The certificates in a PEM text, without what stands between them."""
    found = ""
    for part in pem.decode("ascii", "replace").split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        found += f"{_BEGIN}{body}{end}\n"
    return found


def _content(document: Document, name: str, files: list[Path]) -> bytes | None:
    files.append(named(document.folder, name))
    if not document.reads_files:
        return None
    return read_named(document.folder, name, MAX_PEM_BYTES)[1]
