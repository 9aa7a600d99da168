"""How the exposition formats write series and values: the same in both, and byte for byte prometheus_client's way.

Source: Prometheus documentation, "Exposition formats"; the OpenMetrics specification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client.utils import floatToGoString

_PLAIN_BELOW = 1e6
"""From here on Go writes an exponent where Python writes none."""

Label = tuple[str, str]


class Series:
    """A sample's name and labels, written once: what is scraped again and again keeps its series."""

    __slots__ = ("head", "labels", "name")

    def __init__(self, name: str, labels: Iterable[Label] = ()) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.head = f"{name}{{{format_labels(self.labels)}}} " if self.labels else f"{name} "

    def line(self, value: float) -> str:
        """The line of a sample; `value` is a float."""
        return f"{self.head}{value if 0.0 <= value < _PLAIN_BELOW else format_value(value)}\n"


def format_labels(labels: Iterable[Label]) -> str:
    """What stands between the braces, in the order of the names."""
    return ",".join([f'{name}="{escaped(value)}"' for name, value in sorted(labels)])


def format_around(labels: Iterable[Label], gaps: Collection[str]) -> list[str]:
    """`format_labels` cut at the values of the labels `gaps`: the pieces before, between and after them."""
    pieces = []
    text = comma = ""
    for name, value in sorted(labels):
        text += f'{comma}{name}="'
        comma = ","
        if name in gaps:
            pieces.append(text)
            text = '"'
        else:
            text += f'{escaped(value)}"'
    return [*pieces, text]


def format_value(value: float) -> str:
    """A sample's value."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call] # the library's
    return text


def escaped(text: str) -> str:
    """A label's value between its quotes; `text` itself, no copy, where there is nothing to escape."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
