"""How series and values are written: the same in both formats, and byte for byte as prometheus_client does it.

Source: Prometheus documentation, "Exposition formats"; the OpenMetrics specification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client.utils import floatToGoString

_PLAIN_BELOW = 1e6
"""From here on Go writes an exponent where Python writes none."""

_GAP = "\n"
"""Stands for a value that is left out: what is escaped holds no newline."""

Label = tuple[str, str]


class Series:
    """A sample's name and labels, formatted once: the same series are scraped again and again.

    `keys` are the labels' names: one tuple for many series, since a hundred accounts have seven thousand.
    """

    __slots__ = ("_keys", "_values", "head", "name")

    def __init__(self, name: str, keys: tuple[str, ...] = (), values: tuple[str, ...] = ()) -> None:
        self.name = name
        self._keys = keys
        self._values = values
        self.head = f"{name}{{{format_labels(self.labels)}}} " if keys else f"{name} "

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, as they were given."""
        return tuple(zip(self._keys, self._values, strict=True))

    def line(self, value: float) -> str:
        """The line of a sample; `value` is a float."""
        return f"{self.head}{value if 0.0 <= value < _PLAIN_BELOW else format_value(value)}\n"


def format_labels(labels: Iterable[Label]) -> str:
    """What stands between the braces, in the order of the names."""
    return "".join(format_around(labels, ()))


def format_around(labels: Iterable[Label], gaps: Collection[str]) -> list[str]:
    """`format_labels` cut at the values of the labels `gaps`: the pieces before, between and after them."""
    return ",".join([f'{name}="{_GAP if name in gaps else escaped(value)}"' for name, value in sorted(labels)]).split(
        _GAP
    )


def format_value(value: float) -> str:
    """A sample's value."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call] # the library's
    return text


def escaped(text: str) -> str:
    """A label's value between its quotes; `text` itself, no copy, where there is nothing to escape."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
