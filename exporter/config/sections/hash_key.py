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


def read_hash_key(root: Section, *, wanted: bool) -> bytes | None:
    """The key's bytes, without one line break at the end of a file; None where there is no key or none is `wanted`.

    It must not be used where the document has a fault.
    """
    given = [key for key in (HASH_KEY, HASH_KEY_FILE) if key in root]
    if not wanted:
        for key_name in given:
            root.fault(key_name, "has no effect without phone_number_label: hashed; write that, or remove it")
        return None
    if not given:
        root.fault(
            "phone_number_label",
            "hashed needs a key, since a bare hash of a phone number is reversed in seconds; "
            f"write {HASH_KEY_FILE} and a file of {MIN_KEY_BYTES} random bytes or more",
        )
        return None
    name = root.given(HASH_KEY)
    is_inline = name == HASH_KEY
    content = root.text(name, str.encode, secret=True) if is_inline else root.content(name, MAX_KEY_BYTES + 1)
    if content is None:
        return None
    key = content if is_inline else content.removesuffix(b"\n").removesuffix(b"\r")
    if is_placeholder(key.decode(errors="replace")):
        root.fault(name, f"is a placeholder; write {MIN_KEY_BYTES} random characters or more")
    elif is_inline and not key:
        root.fault(name, f"is empty; write {MIN_KEY_BYTES} random characters or more")
    elif not key or (len(content) > MAX_KEY_BYTES and not is_inline):
        root.fault(name, f"the file holds no key; write {MIN_KEY_BYTES} random bytes or more to it")
    elif len(key) < MIN_KEY_BYTES:
        root.warn(name, f"is shorter than {MIN_KEY_BYTES} bytes and can be guessed; write a longer one")
    return key
