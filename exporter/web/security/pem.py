"""Certificates and keys that the web configuration gives inline or names by file, as bytes in PEM form.

Every file is read once.  OpenSSL gets the bytes: a key given inline never touches a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.config.strict_yaml import Section

MAX_PEM_BYTES = 4 * 1024 * 1024
"""A bundle of all public authorities has a quarter of a megabyte."""


def material(section: Section, key: str, *, required: bool = False) -> tuple[str, bytes] | None:
    """Which of `key` and `key`_file is given, and the bytes that it stands for; None if there are none."""
    name = section.given(key)
    content: bytes | None = None
    if name in section and section.value(name) != "":
        content = section.text(name, str.encode, secret=True) if name == key else section.content(name, MAX_PEM_BYTES)
    elif required:
        section.fault(name, f"missing one of {key} or {key}_file; write {key}_file: FILE")
    elif name in section:
        section.fault(name, "is empty; write it, or remove the line")
    return None if content is None else (name, content)


@contextmanager
def as_file(content: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read `content` while the block lasts.  It is in memory, not on a disk."""
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
