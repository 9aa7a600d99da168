"""Configuration files for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import Config, load
from exporter.errors import ConfigError

NUMBER = '{phone_number: "8613800001234", cust_space_id: cams-1}'
ANOTHER = NUMBER.replace("8613800001234", "8613900005678")
ACCOUNT = f"{{name: main, numbers: [{NUMBER}]}}"
ACCOUNTS = f"accounts: [{ACCOUNT}]"
ACCOUNTS = f"accounts: [{ACCOUNT}]"


def written(folder: Path, text: str | bytes) -> Path:
    """A file in `folder` that holds `text`."""
    path = folder / "config.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def loaded(folder: Path, text: str) -> Config:
    """The configuration that `text` describes; it must be valid."""
    return load(written(folder, text))


def faults(folder: Path, text: str | bytes) -> list[str]:
    """The faults of `text`, each from its line number on; it must be refused."""
    path = written(folder, text)
    with pytest.raises(ConfigError) as refused:
        load(path)
    return [fault.removeprefix(f"{path}:").lstrip() for fault in refused.value.faults]
