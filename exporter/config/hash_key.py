"""The key of `phone_number_label: hashed`.  It is the only secret that is read with the configuration.

It is not read again when its file changes: every label would change, and so every series.
"""

from __future__ import annotations

from exporter.config.secrets import is_placeholder
from exporter.config.strict_yaml import Section

HASH_KEY = "phone_number_hash_key"
HASH_KEY_FILE = "phone_number_hash_key_file"
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 64 * 1024

_PLACEHOLDER = f"is a placeholder; write {MIN_KEY_BYTES} random characters or more"


def read_hash_key(root: Section, *, wanted: bool) -> bytes | None:
    """The key's bytes, without one line break at the end; None where the key is refused or not `wanted`."""
    given = [key for key in (HASH_KEY, HASH_KEY_FILE) if key in root]
    if not wanted:
        for name in given:
            root.fault(name, "has no effect without phone_number_label: hashed; write that, or remove it")
        return None
    if not given:
        root.fault(
            "phone_number_label",
            "hashed needs a key, since a bare hash of a phone number is reversed in seconds; "
            f"write {HASH_KEY_FILE} and a file of {MIN_KEY_BYTES} random bytes or more",
        )
        return None
    found = root.given(HASH_KEY)
    key = root.text(HASH_KEY, _inline, secret=True) if found == HASH_KEY else _from_file(root)
    if key is not None and len(key) < MIN_KEY_BYTES:
        root.warn(found, f"is shorter than {MIN_KEY_BYTES} bytes and can be guessed; write a longer one")
    return key


def _inline(text: str) -> bytes:
    if not text:
        raise ValueError(f"is empty; write {MIN_KEY_BYTES} random characters or more")
    if is_placeholder(text):
        raise ValueError(_PLACEHOLDER)
    return text.encode()


def _from_file(root: Section) -> bytes | None:
    content = root.content(HASH_KEY_FILE, MAX_KEY_BYTES + 1)
    if content is None:
        return None
    key = content.removesuffix(b"\n").removesuffix(b"\r")
    if is_placeholder(key.decode(errors="replace")):
        root.fault(HASH_KEY_FILE, _PLACEHOLDER)
        return None
    if key and len(content) <= MAX_KEY_BYTES:
        return key
    root.fault(HASH_KEY_FILE, f"the file holds no key; write {MIN_KEY_BYTES} random bytes or more to it")
    return None
