"""Phone numbers for tests."""

from __future__ import annotations

from exporter.model import PhoneNumber


def number(index: int = 0, account: str = "main", space: str = "cams-kei0001", **more: object) -> PhoneNumber:
    """The `index`-th number of an account."""
    digits = f"86138{index:08d}"
    return PhoneNumber(account, space, digits, label=str(more.pop("label", digits)), **more)  # type: ignore[arg-type] # tests pass what fits


def numbers(count: int, account: str = "main") -> list[PhoneNumber]:
    """`count` numbers of one account."""
    return [number(index, account) for index in range(count)]
